-- purpose: the last position before each of some seconds; positions are in order of time
-- parameters: $1 bigint[] unix seconds
-- result: item bigint (from 1), position bigint (0 when all of the log is later)
WITH RECURSIVE halving (item, second, low, high) AS (
    SELECT wanted.item, wanted.second, 0::bigint, h.position
    FROM event_store.log_head AS h
    CROSS JOIN unnest($1::bigint[]) WITH ORDINALITY AS wanted (second, item)
    UNION ALL
    SELECT h.item, h.second,
           CASE WHEN middle.is_before THEN middle.position ELSE h.low END,
           CASE WHEN middle.is_before THEN h.high ELSE middle.position - 1 END
    FROM halving AS h
    CROSS JOIN LATERAL (
        SELECT e.position, e.recorded_at < to_timestamp(h.second) AS is_before
        FROM event_store.events AS e
        WHERE e.position = (h.low + h.high + 1) / 2
        LIMIT 1
    ) AS middle
    WHERE h.low < h.high
)
SELECT item, low AS position FROM halving WHERE low = high
