-- purpose: keep a signed checkpoint, as the next one
-- parameters: $1 bigint size, $2 bytea root hash, $3 text note
-- result: rows touched
INSERT INTO audit.signed_checkpoints (number, size, root_hash, note)
SELECT coalesce(max(number), 0) + 1, $1, $2, $3
FROM audit.signed_checkpoints
