-- purpose: how long ago an event was recorded
-- parameters: $1 bigint position
-- result: age_s double precision
SELECT extract(epoch FROM clock_timestamp() - recorded_at)::double precision AS age_s
FROM event_store.events
WHERE position = $1
