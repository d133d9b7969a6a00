-- purpose: what an idempotency key was answered with
-- parameters: $1 text account, $2 boolean livemode, $3 text idempotency key
-- result: request_id text, fingerprint bytea, answer text; no row when it was not
SELECT request_id, fingerprint, answer
FROM event_store.idempotency_keys
WHERE account = $1 AND livemode = $2 AND key = $3
