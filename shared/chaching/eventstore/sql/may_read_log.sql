-- purpose: tell beforehand whether this session can read the log, and why not
-- parameters: none
-- result: is_there boolean, may boolean
SELECT
    count(*) = 2 AS is_there,
    coalesce(
        bool_and(
            has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        ),
        false
    ) AS may
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'event_store' AND c.relname IN ('events', 'log_head')
