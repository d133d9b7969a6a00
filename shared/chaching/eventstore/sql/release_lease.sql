-- purpose: let go of a lease, so that the next holder need not wait
-- parameters: $1 text name, $2 bigint epoch
-- result: rows touched; 0 when the epoch is over
UPDATE event_store.checkpoints
SET holder = NULL, renewed_at = '-infinity'
WHERE name = $1 AND epoch = $2
