-- purpose: the position of the newest event that was recorded before an instant, and its time
-- parameters: $1 timestamptz instant
-- result: position bigint, recorded_at timestamptz; position 0 and null when there is none
-- note: positions have no gap and times grow with them, so it is found by halving the log, in as
--   many look-ups by key as the head has binary digits
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, h.position
    FROM event_store.log_head AS h
    UNION ALL
    SELECT CASE WHEN looked.recorded_at < $1 THEN half.middle ELSE half.low END,
           CASE WHEN looked.recorded_at < $1 THEN half.high ELSE half.middle - 1 END
    FROM (
        SELECT s.low, s.high, (s.low + s.high + 1) / 2 AS middle
        FROM search AS s
        WHERE s.low < s.high
    ) AS half
    CROSS JOIN LATERAL (
        SELECT m.recorded_at
        FROM event_store.events AS m
        WHERE m.position = half.middle
        LIMIT 1
    ) AS looked
)
SELECT found.low AS position, newest.recorded_at
FROM search AS found
LEFT JOIN LATERAL (
    SELECT e.recorded_at
    FROM event_store.events AS e
    WHERE e.position = found.low
    LIMIT 1
) AS newest ON true
WHERE found.low = found.high
