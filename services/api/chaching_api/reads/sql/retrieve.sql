-- purpose: some customers, each as the read model has it and its newest event beyond that
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] customer ids
-- result: item bigint (from 1), body text, version integer, type text, schema_version smallint,
--   payload json, state json, data_key bytea; body null without a row, type null without a newer
--   event; payload null beside a state
-- note: LATERAL and LIMIT keep all look-ups by key, whatever the tables' sizes were at planning
SELECT wanted.item, applied.body, newest.version, newest.type, newest.schema_version,
       CASE WHEN newest.state IS NULL THEN newest.payload END AS payload, newest.state,
       newest.data_key
FROM unnest($1::text[], $2::boolean[], $3::text[])
     WITH ORDINALITY AS wanted (account, livemode, id, item)
LEFT JOIN LATERAL (
    SELECT c.body, c.version
    FROM read_model.customers AS c
    WHERE c.account = wanted.account AND c.livemode = wanted.livemode AND c.id = wanted.id
    LIMIT 1
) AS applied ON true
LEFT JOIN LATERAL (
    SELECT e.version, e.type, e.schema_version, e.payload, e.state, (
        SELECT d.wrapped
        FROM event_store.data_keys AS d
        WHERE d.account = wanted.account AND d.livemode = wanted.livemode AND d.stream = wanted.id
    ) AS data_key
    FROM event_store.events AS e
    WHERE e.account = wanted.account AND e.livemode = wanted.livemode AND e.stream = wanted.id
      AND e.version > coalesce(applied.version, 0)
    ORDER BY e.version DESC
    LIMIT 1
) AS newest ON true
