-- purpose: the event at a position, every column as it is stored
-- parameters: $1 bigint position
-- result: entry bytea
-- note: an entry has all columns of event_store.events, in their order
SELECT record_send(ROW(
        e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
        e.type, e.schema_version, e.payload, e.state, e.metadata, e.invoice_prefix, e.recorded_at
    )) AS entry
FROM event_store.events AS e
WHERE e.position = $1
