-- purpose: one account's events at some positions, in their order, as far as a number of bytes goes
-- parameters: $1 text account, $2 boolean livemode, $3 bigint[] positions,
--   $4 bigint bytes of payloads and states after which no further event is begun
-- result: the columns of event_store.events but invoice_prefix
-- note: LIMIT keeps account and mode from leading the look-up over another index than position's
SELECT position, account, livemode, stream, version, previous_position, event_id, type,
       schema_version, payload, state, metadata, recorded_at
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
WHERE coalesce(bytes_before, 0) < $4
ORDER BY item
