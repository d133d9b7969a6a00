-- purpose: the same for one customer's id; it goes by the index of streams, however long the range is
-- parameters: $1 bigint after position, $2 bigint up to and with position, $3 bigint limit,
--   $4 bigint bytes of payloads and states after which no further event is begun,
--   $5 text[] types or null for all, $6 text account or null for all,
--   $7 boolean livemode or null for both, $8 text customer id
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea
WITH of_customer AS MATERIALIZED (
    SELECT e.position
    FROM event_store.events AS e
    WHERE e.stream = $8
      AND ($5::text[] IS NULL OR e.type = ANY ($5))
      AND ($6::text IS NULL OR e.account = $6)
      AND ($7::boolean IS NULL OR e.livemode = $7)
)
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
        SELECT c.position
        FROM of_customer AS c
        WHERE c.position > $1 AND c.position <= $2
        ORDER BY c.position
        LIMIT $3
    ) AS wanted
    CROSS JOIN LATERAL (
        SELECT o.position, o.account, o.livemode, o.stream, o.version, o.previous_position,
               o.event_id, o.type, o.schema_version, o.payload, o.state, o.metadata, o.recorded_at
        FROM event_store.events AS o
        WHERE o.position = wanted.position
        LIMIT 1
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
