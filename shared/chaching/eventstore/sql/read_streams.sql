-- purpose: the events of all streams, one stream after another in the order of their names, each
--   from its first to its last, as far as a number of bytes goes
-- parameters: $1 text stream, $2 text account, $3 boolean livemode, $4 integer version, all of the
--   event after which, $5 text last stream, $6 bigint limit, $7 bigint bytes of payloads and
--   states after which no further event is begun
-- result: the columns of event_store.events but invoice_prefix
SELECT position, account, livemode, stream, version, previous_position, event_id, type,
       schema_version, payload, state, metadata, recorded_at
FROM (
    SELECT e.*,
           sum(octet_length(e.payload::text) + coalesce(octet_length(e.state::text), 0)) OVER (
               ORDER BY e.stream, e.account, e.livemode, e.version
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS bytes_before
    FROM (
        SELECT position, account, livemode, stream, version, previous_position, event_id, type,
               schema_version, payload, state, metadata, recorded_at
        FROM event_store.events
        WHERE (stream, account, livemode, version) > ($1, $2, $3, $4) AND stream <= $5
        ORDER BY stream, account, livemode, version
        LIMIT $6
    ) AS e
) AS weighed
WHERE coalesce(bytes_before, 0) < $7
ORDER BY stream, account, livemode, version
