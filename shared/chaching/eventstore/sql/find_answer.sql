-- purpose: what an idempotency key was answered with
-- parameters: $1 text account, $2 boolean livemode, $3 text idempotency key
-- result: request_id text, fingerprint bytea, answer text, answered_stream text, data_key bytea; no
--   row when it was not
SELECT k.request_id, k.fingerprint, k.answer, k.stream AS answered_stream, d.wrapped AS data_key
FROM event_store.idempotency_keys AS k
LEFT JOIN event_store.data_keys AS d
    ON d.stream = k.stream AND d.account = k.account AND d.livemode = k.livemode
WHERE k.account = $1 AND k.livemode = $2 AND k.key = $3
