-- purpose: tell beforehand whether this session can read what is compared
-- parameters: none
-- result: may boolean; false as well where a table is missing
SELECT
    count(*) = 8 AND bool_and(
        has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    ) AS may
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'event_store'
      AND c.relname IN ('events', 'checkpoints', 'data_keys', 'master_keys')
   OR n.nspname = 'read_model'
      AND c.relname IN ('customers', 'search_entries', 'parked_streams', 'search_renewals')
