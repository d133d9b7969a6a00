-- purpose: how many events of the log searches do not know of yet
-- parameters: none
-- result: events bigint
SELECT h.position - c.position AS events
FROM event_store.log_head AS h
CROSS JOIN event_store.checkpoints AS c
WHERE c.name = 'projection.search'
