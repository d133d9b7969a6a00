-- purpose: up to where blocks are sealed, and how many events lie beyond
-- parameters: none
-- result: position bigint, unsealed bigint
SELECT s.position, h.position - s.position AS unsealed
FROM event_store.seal AS s
CROSS JOIN event_store.log_head AS h
