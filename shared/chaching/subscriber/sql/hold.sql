-- purpose: take the right to move a subscriber's position, if its holder let go or fell silent
-- parameters: $1 text name, $2 text holder, $3 double precision seconds of silence
-- result: epoch bigint, log_id text, position bigint, event_time timestamptz, was_let_go boolean;
--   no row while another holds it
-- note: a row that is locked is being moved, so its holder is alive
WITH free AS (
    SELECT s.name, s.holder
    FROM chaching_inbox.subscribers AS s
    WHERE s.name = $1
      AND (s.holder IS NULL OR s.renewed_at < clock_timestamp() - make_interval(secs => $3))
    FOR UPDATE SKIP LOCKED
)
UPDATE chaching_inbox.subscribers AS s
SET epoch = s.epoch + 1, holder = $2, renewed_at = clock_timestamp()
FROM free
WHERE s.name = free.name
RETURNING s.epoch, s.log_id, s.position, s.event_time, free.holder IS NULL AS was_let_go
