-- purpose: a range of the log in order of position, all of it or what a reader selects, as far as a
--   number of bytes goes
-- parameters: $1 bigint after position, $2 bigint up to and with position, $3 bigint limit,
--   $4 bigint bytes of payloads and states after which no further event is begun,
--   $5 text[] types or null for all, $6 text account or null for all,
--   $7 boolean livemode or null for both
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea
-- note: LATERAL and LIMIT keep the keys a look-up by key, whatever the tables' sizes were at planning
SELECT weighed.position, weighed.account, weighed.livemode, weighed.stream, weighed.version,
       weighed.previous_position, weighed.event_id, weighed.type, weighed.schema_version,
       weighed.payload, weighed.state, weighed.metadata, weighed.recorded_at,
       data_key.wrapped AS data_key
FROM (
    SELECT e.*,
           sum(octet_length(e.payload::text) + coalesce(octet_length(e.state::text), 0)) OVER (
               ORDER BY e.position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS bytes_before
    FROM (
        SELECT position, account, livemode, stream, version, previous_position, event_id, type,
               schema_version, payload, state, metadata, recorded_at
        FROM event_store.events
        WHERE position > $1 AND position <= $2
          AND ($5::text[] IS NULL OR type = ANY ($5))
          AND ($6::text IS NULL OR account = $6)
          AND ($7::boolean IS NULL OR livemode = $7)
        ORDER BY position
        LIMIT $3
    ) AS e
) AS weighed
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = weighed.account AND d.livemode = weighed.livemode
      AND d.stream = weighed.stream
    LIMIT 1
) AS data_key ON true
WHERE coalesce(weighed.bytes_before, 0) < $4
ORDER BY weighed.position
