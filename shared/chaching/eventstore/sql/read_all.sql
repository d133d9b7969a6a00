-- purpose: the log in order of position, after one
-- parameters: $1 bigint after position, $2 bigint up to and with position, $3 bigint limit
-- result: the columns of event_store.events but invoice_prefix
SELECT position, account, livemode, stream, version, previous_position, event_id, type,
       schema_version, payload, state, metadata, recorded_at
FROM event_store.events
WHERE position > $1 AND position <= $2
ORDER BY position
LIMIT $3
