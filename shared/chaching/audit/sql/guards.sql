-- purpose: what keeps the log and its tree from being changed and is not in force
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
ORDER BY guard
