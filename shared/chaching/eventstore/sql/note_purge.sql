-- purpose: note that the broker keeps nothing of customers who were erased up to an event
-- parameters: $1 bigint position
-- result: rows touched
UPDATE event_store.broker_purge
SET position = $1
WHERE position < $1
