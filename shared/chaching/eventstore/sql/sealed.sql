-- purpose: up to where blocks are sealed, and how many events lie beyond
-- parameters: none
-- result: position bigint, unsealed bigint
SELECT c.position, h.position - c.position AS unsealed
FROM event_store.checkpoints AS c
CROSS JOIN event_store.log_head AS h
WHERE c.name = 'event_blocks'
