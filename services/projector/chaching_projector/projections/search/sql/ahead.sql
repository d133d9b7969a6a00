-- purpose: how far the read model is, and whether rows changed without an event
-- parameters: none
-- result: position bigint, renewed boolean
SELECT c.position, EXISTS (SELECT FROM read_model.search_renewals) AS renewed
FROM event_store.checkpoints AS c
WHERE c.name = 'projection.customers'
