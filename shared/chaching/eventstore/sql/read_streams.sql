-- purpose: the events of all streams, one stream after another in the order of their names, each
--   from its first to its last, as far as a number of bytes goes
-- parameters: $1 text stream, $2 text account, $3 boolean livemode, $4 integer version, all of the
--   event after which, $5 text last stream, $6 bigint limit, $7 bigint bytes of payloads and
--   states after which no further event is begun
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea
SELECT weighed.position, weighed.account, weighed.livemode, weighed.stream, weighed.version,
       weighed.previous_position, weighed.event_id, weighed.type, weighed.schema_version,
       weighed.payload, weighed.state, weighed.metadata, weighed.recorded_at,
       data_key.wrapped AS data_key
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
LEFT JOIN LATERAL (
    SELECT d.wrapped
    FROM event_store.data_keys AS d
    WHERE d.account = weighed.account AND d.livemode = weighed.livemode
      AND d.stream = weighed.stream
    LIMIT 1
) AS data_key ON true
WHERE coalesce(weighed.bytes_before, 0) < $7
ORDER BY weighed.stream, weighed.account, weighed.livemode, weighed.version
