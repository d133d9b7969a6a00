-- purpose: a stretch of the log, every column as it is stored, to be copied out in binary form
-- parameters: $1 bigint after position, $2 bigint up to and with position
-- result: follows boolean (on the event that it says it follows), position bigint, entry bytea
-- note: an entry has all columns of event_store.events, in their order
SELECT
    CASE
        WHEN e.version = 1 THEN coalesce(e.previous_position = 0, false)
        ELSE EXISTS (
            SELECT FROM event_store.events AS p
            WHERE p.position = e.previous_position AND p.position < e.position
              AND p.stream = e.stream AND p.account = e.account AND p.livemode = e.livemode
              AND p.version = e.version - 1
        )
    END AS follows,
    e.position,
    record_send(ROW(
        e.position, e.account, e.livemode, e.stream, e.version, e.previous_position, e.event_id,
        e.type, e.schema_version, e.payload, e.state, e.metadata, e.invoice_prefix, e.recorded_at
    )) AS entry
FROM event_store.events AS e
WHERE e.position > $1 AND e.position <= $2
ORDER BY e.position
