-- purpose: let an API key expire in some seconds, unless it does so sooner
-- parameters: $1 text key id, $2 double precision seconds
-- result: rows touched
UPDATE event_store.api_keys
SET expires_at = least(expires_at, clock_timestamp() + $2 * interval '1 second')
WHERE key_id = $1
