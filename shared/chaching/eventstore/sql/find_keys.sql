-- purpose: the API keys with some hashes
-- parameters: $1 bytea[] SHA-256 of each key
-- result: key_id text, key_hash bytea, account text, livemode boolean, kind text, rights text[],
--   name text, expires_at timestamptz, revoked_at timestamptz; no row where there is none
SELECT key_id, key_hash, account, livemode, kind, rights, name, expires_at, revoked_at
FROM event_store.api_keys
WHERE key_hash = ANY ($1::bytea[])
