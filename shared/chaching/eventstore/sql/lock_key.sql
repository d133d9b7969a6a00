-- purpose: keep an API key from being changed by others until the transaction ends
-- parameters: $1 text key id
-- result: key_id text; no row when there is none
SELECT key_id
FROM event_store.api_keys
WHERE key_id = $1
FOR UPDATE
