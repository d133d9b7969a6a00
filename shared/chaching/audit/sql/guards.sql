-- purpose: what keeps the log and its tree from being changed, or read otherwise, and is not in force
-- parameters: none
-- result: guard text
SELECT wanted.guard
FROM (
    VALUES
        ('event_store.events', 'events_refuse_change'),
        ('audit.runs', 'runs_refuse_change'),
        ('audit.nodes', 'nodes_refuse_change'),
        ('audit.signed_checkpoints', 'signed_checkpoints_refuse_change')
) AS wanted (relation, guard)
LEFT JOIN pg_trigger AS t
    ON t.tgrelid = to_regclass(wanted.relation) AND t.tgname = wanted.guard
WHERE t.tgenabled IS DISTINCT FROM 'O' AND t.tgenabled IS DISTINCT FROM 'A'
UNION ALL
SELECT wanted.guard
FROM (VALUES ('events_pkey'), ('events_stream_version_key')) AS wanted (guard)
LEFT JOIN pg_constraint AS c
    ON c.conrelid = 'event_store.events'::regclass AND c.conname = wanted.guard
LEFT JOIN pg_index AS i ON i.indexrelid = c.conindid
WHERE (i.indisunique AND i.indisvalid AND i.indisready) IS NOT TRUE
UNION ALL
SELECT wanted.relation || ' as a plain table' AS guard
FROM (
    VALUES
        ('event_store.log_head'),
        ('event_store.events'),
        ('audit.runs'),
        ('audit.nodes'),
        ('audit.signed_checkpoints')
) AS wanted (relation)
LEFT JOIN pg_class AS c ON c.oid = to_regclass(wanted.relation)
WHERE (
    c.relkind = 'r' AND NOT c.relrowsecurity AND NOT c.relhasrules AND NOT c.relhassubclass
) IS NOT TRUE
ORDER BY guard
