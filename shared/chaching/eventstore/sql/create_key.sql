-- purpose: store an API key's hash and what it opens; nothing when the hash is there already
-- parameters: $1 text key id, $2 bytea SHA-256 of the key, $3 text the key masked, $4 text account,
--   $5 boolean livemode, $6 text kind, $7 text[] rights, $8 text name,
--   $9 double precision seconds until it expires, $10 text key id of the one that it replaces
-- result: key_id text; no row when the hash is there already
INSERT INTO event_store.api_keys
    (key_id, key_hash, masked, account, livemode, kind, rights, name, expires_at, replaces)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8,
    clock_timestamp() + $9::double precision * interval '1 second', $10
)
ON CONFLICT ON CONSTRAINT api_keys_key_hash_key DO NOTHING
RETURNING key_id
