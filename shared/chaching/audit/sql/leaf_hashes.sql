-- purpose: the leaf hashes of a stretch of the log, computed where its rows are
-- parameters: $1 bigint after position, $2 bigint up to and with position
-- result: position bigint, leaf_hash bytea
-- note: what is hashed are the prefix of a leaf, the number of the format, and the entry
SELECT
    e.position,
    sha256('\x0001'::bytea || record_send(ROW(
        e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
        e.type, e.schema_version, e.payload, e.state, e.metadata, e.invoice_prefix, e.recorded_at
    ))) AS leaf_hash
FROM event_store.events AS e
WHERE e.position > $1 AND e.position <= $2
ORDER BY e.position
