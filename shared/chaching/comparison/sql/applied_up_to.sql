-- purpose: the positions up to which rows, and entries for searches, are said to have the log
-- parameters: none
-- result: rows bigint, entries bigint
SELECT r.position AS rows, e.position AS entries
FROM event_store.checkpoints AS r
CROSS JOIN event_store.checkpoints AS e
WHERE r.name = 'projection.customers' AND e.name = 'projection.search'
