-- purpose: end an API key for good; one that is revoked stays revoked since then
-- parameters: $1 text key id
-- result: rows touched
UPDATE event_store.api_keys
SET revoked_at = coalesce(revoked_at, clock_timestamp())
WHERE key_id = $1
