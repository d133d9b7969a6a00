-- purpose: say that the holder of an epoch is alive
-- parameters: $1 text name, $2 bigint epoch
-- result: rows touched; 0 when the epoch is over
UPDATE event_store.checkpoints
SET renewed_at = clock_timestamp()
WHERE name = $1 AND epoch = $2
