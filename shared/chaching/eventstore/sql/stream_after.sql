-- purpose: the stream that stands a number of events after another stream, in the order of names
-- parameters: $1 text stream, $2 bigint events
-- result: stream text; no row when there are fewer
SELECT e.stream
FROM event_store.events AS e
WHERE e.stream > $1
ORDER BY e.stream, e.account, e.livemode, e.version
OFFSET $2
LIMIT 1
