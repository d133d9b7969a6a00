-- purpose: tell beforehand whether this session can read the audit's tables, and why not
-- parameters: none
-- result: is_there boolean, may boolean
SELECT
    count(*) = 3 AS is_there,
    coalesce(
        bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')),
        false
    ) AS may
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'audit' AND c.relname IN ('runs', 'nodes', 'signed_checkpoints')
