-- purpose: of each of some streams, the newest event that does not stand beyond a position
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] streams, $4 bigint position
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea; none of a
--   stream that began later
-- note: a stream's positions grow with its versions, which have no gap, so the version is found by
--   halving, however many events came since; LATERAL and LIMIT keep every step a look-up by key.
--   Where rows were taken out of the stream, the next one above the middle is looked at
SELECT e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
       e.type, e.schema_version, e.payload, e.state, e.metadata, e.recorded_at, data_key.wrapped AS data_key
FROM unnest($1::text[], $2::boolean[], $3::text[]) AS wanted (account, livemode, stream)
CROSS JOIN LATERAL (
    WITH RECURSIVE search (low, high) AS (
        (
            SELECT 0, n.version
            FROM event_store.events AS n
            WHERE n.account = wanted.account AND n.livemode = wanted.livemode
              AND n.stream = wanted.stream
            ORDER BY n.version DESC
            LIMIT 1
        )
        UNION ALL
        SELECT CASE WHEN looked.position <= $4 THEN looked.version ELSE half.low END,
               CASE WHEN looked.position <= $4 THEN half.high ELSE half.middle - 1 END
        FROM (
            SELECT s.low, s.high, (s.low + s.high + 1) / 2 AS middle
            FROM search AS s
            WHERE s.low < s.high
        ) AS half
        LEFT JOIN LATERAL (
            SELECT m.version, m.position
            FROM event_store.events AS m
            WHERE m.account = wanted.account AND m.livemode = wanted.livemode
              AND m.stream = wanted.stream
              AND m.version >= half.middle AND m.version <= half.high
            ORDER BY m.version
            LIMIT 1
        ) AS looked ON true
    )
    SELECT s.low AS version
    FROM search AS s
    WHERE s.low = s.high AND s.low > 0
) AS found
CROSS JOIN LATERAL (
    SELECT t.*
    FROM event_store.events AS t
    WHERE t.account = wanted.account AND t.livemode = wanted.livemode
      AND t.stream = wanted.stream AND t.version = found.version
    LIMIT 1
) AS e
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = e.account AND d.livemode = e.livemode AND d.stream = e.stream
    LIMIT 1
) AS data_key ON true
