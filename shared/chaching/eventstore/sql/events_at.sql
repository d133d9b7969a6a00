-- purpose: one account's events at some positions, in their order, as far as a number of bytes goes
-- parameters: $1 text account, $2 boolean livemode, $3 bigint[] positions,
--   $4 bigint bytes of payloads and states after which no further event is begun
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea
-- note: LIMIT keeps account and mode from leading the look-up over another index than position's
SELECT weighed.position, weighed.account, weighed.livemode, weighed.stream, weighed.version,
       weighed.previous_position, weighed.event_id, weighed.type, weighed.schema_version,
       weighed.payload, weighed.state, weighed.metadata, weighed.recorded_at,
       data_key.wrapped AS data_key
FROM (
    SELECT wanted.item, e.*,
           sum(octet_length(e.payload::text) + coalesce(octet_length(e.state::text), 0)) OVER (
               ORDER BY wanted.item ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS bytes_before
    FROM unnest($3::bigint[]) WITH ORDINALITY AS wanted (position, item)
    CROSS JOIN LATERAL (
        SELECT s.position, s.account, s.livemode, s.stream, s.version, s.previous_position,
               s.event_id, s.type, s.schema_version, s.payload, s.state, s.metadata,
               s.recorded_at
        FROM event_store.events AS s
        WHERE s.position = wanted.position
        LIMIT 1
    ) AS e
    WHERE e.account = $1 AND e.livemode = $2
) AS weighed
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = weighed.account AND d.livemode = weighed.livemode
      AND d.stream = weighed.stream
    LIMIT 1
) AS data_key ON true
WHERE coalesce(weighed.bytes_before, 0) < $4
ORDER BY weighed.item
