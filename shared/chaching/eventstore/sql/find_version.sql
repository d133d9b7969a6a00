-- purpose: at which version of a stream an event stands
-- parameters: $1 text account, $2 boolean livemode, $3 text stream, $4 text event id
-- result: version integer; no row when it is no event of this stream
SELECT e.version
FROM event_store.events AS e
WHERE e.account = $1 AND e.livemode = $2 AND e.stream = $3 AND e.event_id = $4
ORDER BY e.version
LIMIT 1
