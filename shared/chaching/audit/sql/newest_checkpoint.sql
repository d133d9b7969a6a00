-- purpose: the newest signed checkpoint
-- parameters: none
-- result: size bigint, root_hash bytea, note text, signed_at timestamptz
SELECT size, root_hash, note, signed_at
FROM audit.signed_checkpoints
ORDER BY number DESC
LIMIT 1
