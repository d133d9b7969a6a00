-- purpose: the newest event of each of some streams, from which a customer's state is read
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] streams
-- result: item bigint (from 1), version integer, type text, schema_version smallint,
--   payload json, state json, data_key bytea; no row for a stream without events; payload null
--   beside a state
SELECT wanted.item, newest.version, newest.type, newest.schema_version,
       CASE WHEN newest.state IS NULL THEN newest.payload END AS payload, newest.state,
       data_key.wrapped AS data_key
FROM unnest($1::text[], $2::boolean[], $3::text[])
     WITH ORDINALITY AS wanted (account, livemode, stream, item)
CROSS JOIN LATERAL (
    SELECT e.version, e.type, e.schema_version, e.payload, e.state
    FROM event_store.events AS e
    WHERE e.account = wanted.account AND e.livemode = wanted.livemode
      AND e.stream = wanted.stream
    ORDER BY e.version DESC
    LIMIT 1
) AS newest
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = wanted.account AND d.livemode = wanted.livemode
      AND d.stream = wanted.stream
    LIMIT 1
) AS data_key ON true
