-- purpose: at which version a customer is, without what is stored there
-- parameters: $1 text account, $2 boolean livemode, $3 text stream
-- result: version integer; no row for a stream without events
SELECT e.version
FROM event_store.events AS e
WHERE e.account = $1 AND e.livemode = $2 AND e.stream = $3
ORDER BY e.version DESC
LIMIT 1
