-- purpose: the first position that was recorded at an instant or later, by halving the log: positions
--   are in the order of time; where the clock was set back, one of those that fit
-- parameters: $1 timestamptz instant
-- result: position bigint; the head's successor when nothing is that new
-- note: in each half what stands at "before" is older than the instant, at "position" it is not
WITH RECURSIVE halves AS (
    SELECT 0::bigint AS before, h.position + 1 AS position
    FROM event_store.log_head AS h
    UNION ALL
    SELECT CASE WHEN e.recorded_at < $1 THEN e.position ELSE h.before END,
           CASE WHEN e.recorded_at < $1 THEN h.position ELSE e.position END
    FROM halves AS h
    JOIN event_store.events AS e ON e.position = h.before + (h.position - h.before) / 2
    WHERE h.position - h.before > 1
)
SELECT min(position) AS position FROM halves
