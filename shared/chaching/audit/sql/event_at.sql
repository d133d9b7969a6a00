-- purpose: the event at a position, every column as it is stored
-- parameters: $1 bigint position
-- result: position bigint, account text, livemode boolean, stream text, version integer,
--   previous_position bigint, event_id text, type text, schema_version smallint, payload json,
--   state json, metadata json, invoice_prefix text, recorded_at timestamptz
SELECT position, account, livemode, stream, version, previous_position, event_id, type,
       schema_version, payload, state, metadata, invoice_prefix, recorded_at
FROM event_store.events
WHERE position = $1
