-- purpose: the newest event that was recorded before each of some instants, and its time
-- parameters: $1 timestamptz[] instants
-- result: item bigint (from 1), position bigint, recorded_at timestamptz; position 0 and null when
--   there is none
-- note: times grow with positions, so it is found by halving the log, in as many look-ups by key as
--   the head has binary digits. Where rows were taken out of the log, the next one above the middle
--   is looked at; LIMIT keeps every step one row, whatever the table's size was at planning
WITH RECURSIVE halving (item, instant, low, high) AS (
    SELECT wanted.item, wanted.instant, 0::bigint, h.position
    FROM event_store.log_head AS h
    CROSS JOIN unnest($1::timestamptz[]) WITH ORDINALITY AS wanted (instant, item)
    UNION ALL
    SELECT half.item, half.instant,
           CASE WHEN looked.recorded_at < half.instant THEN looked.position ELSE half.low END,
           CASE WHEN looked.recorded_at < half.instant THEN half.high ELSE half.middle - 1 END
    FROM (
        SELECT h.item, h.instant, h.low, h.high, (h.low + h.high + 1) / 2 AS middle
        FROM halving AS h
        WHERE h.low < h.high
    ) AS half
    LEFT JOIN LATERAL (
        SELECT e.position, e.recorded_at
        FROM event_store.events AS e
        WHERE e.position >= half.middle AND e.position <= half.high
        ORDER BY e.position
        LIMIT 1
    ) AS looked ON true
)
SELECT found.item, found.low AS position, newest.recorded_at
FROM halving AS found
LEFT JOIN LATERAL (
    SELECT e.recorded_at
    FROM event_store.events AS e
    WHERE e.position = found.low
    LIMIT 1
) AS newest ON true
WHERE found.low = found.high
