-- purpose: signed checkpoints in the order in which they were signed
-- parameters: $1 bigint after number, $2 bigint limit
-- result: number bigint, size bigint, root_hash bytea, note text
SELECT number, size, root_hash, note
FROM audit.signed_checkpoints
WHERE number > $1
ORDER BY number
LIMIT $2
