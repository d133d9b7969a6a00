-- purpose: tell beforehand whether this session can administer API keys, and why not
-- parameters: none
-- result: is_there boolean, may boolean
SELECT
    count(*) > 0 AS is_there,
    coalesce(bool_and(has_table_privilege(attrelid, 'INSERT')), false) AS may
FROM pg_attribute
WHERE attrelid = to_regclass('event_store.api_keys') AND attname = 'replaces'
