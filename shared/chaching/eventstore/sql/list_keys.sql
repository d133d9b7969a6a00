-- purpose: the next API keys and the time, for whoever administers them
-- parameters: $1 text account or null for all, $2 boolean livemode or null for both,
--   $3 text the only key id or null for all, $4 text key id after which to go on,
--   $5 bigint at most so many
-- result: key_id text, masked text, kind text, livemode boolean, account text, rights text[],
--   name text, created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
--   replaces text, replaced_by text, asked_at timestamptz; in the order of their ids, which is that
--   of their making
SELECT
    k.key_id, k.masked, k.kind, k.livemode, k.account, k.rights, k.name, k.created_at,
    k.expires_at, k.revoked_at, k.replaces, successor.key_id AS replaced_by,
    clock_timestamp() AS asked_at
FROM event_store.api_keys AS k
LEFT JOIN event_store.api_keys AS successor ON successor.replaces = k.key_id
WHERE ($1::text IS NULL OR k.account = $1)
  AND ($2::boolean IS NULL OR k.livemode = $2)
  AND ($3::text IS NULL OR k.key_id = $3)
  AND k.key_id > $4
ORDER BY k.key_id
LIMIT $5
