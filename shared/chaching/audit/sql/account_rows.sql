-- purpose: the events of an account in a stretch of the log, to be copied out in binary form
-- parameters: $1 bigint after position, $2 bigint up to and with position, $3 text account,
--   $4 boolean livemode (null: either)
-- result: follows boolean (always true), position bigint, entry bytea
-- note: an entry has all columns of event_store.events, in their order
SELECT
    true AS follows,
    e.position,
    record_send(ROW(
        e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
        e.type, e.schema_version, e.payload, e.state, e.metadata, e.invoice_prefix, e.recorded_at
    )) AS entry
FROM event_store.events AS e
WHERE e.position > $1 AND e.position <= $2 AND e.account = $3
  AND ($4::boolean IS NULL OR e.livemode = $4)
ORDER BY e.position
