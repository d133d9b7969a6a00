-- purpose: store an API key's hash and what it opens; nothing when the hash is there already
-- parameters: $1 text key id, $2 bytea SHA-256 of the key, $3 text account, $4 boolean livemode,
--   $5 text kind, $6 text[] rights, $7 text name, $8 timestamptz expiry
-- result: rows touched
INSERT INTO event_store.api_keys
    (key_id, key_hash, account, livemode, kind, rights, name, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT ON CONSTRAINT api_keys_key_hash_key DO NOTHING
