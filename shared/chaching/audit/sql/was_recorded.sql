-- purpose: whether an event was recorded before an instant, or just at it
-- parameters: $1 bigint position, $2 timestamptz instant
-- result: before boolean, at boolean
SELECT recorded_at < $2 AS before, recorded_at = $2 AS at
FROM event_store.events
WHERE position = $1
