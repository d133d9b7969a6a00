-- purpose: events by their ids, where an id tells it by customer and version
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] event ids,
--   $4 text[] streams that the ids tell or nulls, $5 integer[] versions likewise
-- result: item bigint (from 1), position bigint, account text, livemode boolean, stream text,
--   version integer, previous_position bigint, event_id text, type text, schema_version smallint,
--   payload json, state json, metadata json, recorded_at timestamptz,
--   data_key bytea; no row for an unknown id
-- note: OFFSET and LIMIT keep account and mode from leading a look over another index
SELECT wanted.item, e.position, e.account, e.livemode, e.stream, e.version, e.previous_position,
       e.event_id, e.type, e.schema_version, e.payload, e.state, e.metadata, e.recorded_at,
       data_key.wrapped AS data_key
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::integer[])
     WITH ORDINALITY AS wanted (account, livemode, event_id, stream, version, item)
CROSS JOIN LATERAL (
    SELECT told.position
    FROM event_store.events AS told
    WHERE told.account = wanted.account AND told.livemode = wanted.livemode
      AND told.stream = wanted.stream AND told.version = wanted.version
      AND told.event_id = wanted.event_id
    UNION ALL
    SELECT plain.position
    FROM (
        SELECT p.position, p.account, p.livemode
        FROM event_store.events AS p
        WHERE wanted.stream IS NULL
          AND p.event_id = wanted.event_id AND octet_length(p.event_id) < 26
        OFFSET 0
    ) AS plain
    WHERE plain.account = wanted.account AND plain.livemode = wanted.livemode
    LIMIT 1
) AS found
CROSS JOIN LATERAL (
    SELECT s.position, s.account, s.livemode, s.stream, s.version, s.previous_position,
           s.event_id, s.type, s.schema_version, s.payload, s.state, s.metadata, s.recorded_at
    FROM event_store.events AS s
    WHERE s.position = found.position
    LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = e.account AND d.livemode = e.livemode AND d.stream = e.stream
    LIMIT 1
) AS data_key ON true
