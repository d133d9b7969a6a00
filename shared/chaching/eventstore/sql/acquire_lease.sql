-- purpose: take the lease on a checkpoint when nobody holds it or its holder fell silent
-- parameters: $1 text name, $2 text holder, $3 double precision seconds of silence
-- result: epoch bigint, position bigint; no row when another holds it
UPDATE event_store.checkpoints
SET epoch = epoch + 1, holder = $2, renewed_at = clock_timestamp()
WHERE name = $1
  AND (holder IS NULL OR renewed_at < clock_timestamp() - make_interval(secs => $3))
RETURNING epoch, position
