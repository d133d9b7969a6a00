-- purpose: delete idempotency keys that are older than a day, the oldest first
-- parameters: $1 integer how many at most
-- result: forgotten bigint
SELECT event_store.forget_idempotency_keys($1) AS forgotten
