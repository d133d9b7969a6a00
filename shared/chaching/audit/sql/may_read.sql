-- purpose: tell beforehand whether this session can read the audit's tables, and why not
-- parameters: none
-- result: is_there boolean, may boolean
SELECT
    bool_and(c.oid IS NOT NULL) AS is_there,
    coalesce(
        bool_and(
            has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
        ),
        false
    ) AS may
FROM (
    VALUES
        ('event_store', 'log_head'),
        ('event_store', 'events'),
        ('event_store', 'checkpoints'),
        ('audit', 'runs'),
        ('audit', 'nodes'),
        ('audit', 'signed_checkpoints')
) AS wanted (schema_name, relation)
LEFT JOIN pg_namespace AS n ON n.nspname = wanted.schema_name
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.relation
