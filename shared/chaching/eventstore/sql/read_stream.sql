-- purpose: one customer's events in order, after a version
-- parameters: $1 text account, $2 boolean livemode, $3 text stream, $4 integer after version,
--   $5 bigint limit
-- result: the columns of event_store.events but invoice_prefix
SELECT position, account, livemode, stream, version, previous_position, event_id, type,
       schema_version, payload, state, metadata, recorded_at
FROM event_store.events
WHERE account = $1 AND livemode = $2 AND stream = $3 AND version > $4
ORDER BY version
LIMIT $5
