-- purpose: the position up to which the read model says that it has applied the log
-- parameters: none
-- result: position bigint
SELECT position FROM event_store.checkpoints WHERE name = 'projection.customers'
