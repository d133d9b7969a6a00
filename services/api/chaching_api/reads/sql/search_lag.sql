-- purpose: how many events of the log searches of one account and mode do not know of yet, those of
--   parked customers included
-- parameters: $1 text account, $2 boolean livemode
-- result: events bigint
SELECT h.position - c.position + (
    SELECT count(*)
    FROM read_model.parked_streams AS p
    JOIN event_store.events AS e
        ON e.account = p.account AND e.livemode = p.livemode AND e.stream = p.id
    WHERE p.account = $1 AND p.livemode = $2 AND e.version >= p.first_version
      AND e.position <= c.position
) AS events
FROM event_store.log_head AS h
CROSS JOIN event_store.checkpoints AS c
WHERE c.name = 'projection.search'
