-- purpose: one customer's events before a version, the newest first
-- parameters: $1 text account, $2 boolean livemode, $3 text stream, $4 integer before version,
--   $5 bigint limit
-- result: the columns of event_store.events but invoice_prefix, and data_key bytea
SELECT e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
       e.type, e.schema_version, e.payload, e.state, e.metadata, e.recorded_at,
       d.wrapped AS data_key
FROM event_store.events AS e
LEFT JOIN event_store.data_keys AS d
    ON d.stream = e.stream AND d.account = e.account AND d.livemode = e.livemode
WHERE e.account = $1 AND e.livemode = $2 AND e.stream = $3 AND e.version < $4
ORDER BY e.version DESC
LIMIT $5
