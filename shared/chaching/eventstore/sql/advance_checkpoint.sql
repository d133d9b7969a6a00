-- purpose: move a checkpoint forward, by the holder of the running epoch only
-- parameters: $1 text name, $2 bigint epoch, $3 bigint from position, $4 bigint to position
-- result: rows touched; 0 when the epoch is over or the checkpoint is elsewhere
UPDATE event_store.checkpoints
SET position = $4, renewed_at = clock_timestamp()
WHERE name = $1 AND epoch = $2 AND position = $3 AND position <= $4
