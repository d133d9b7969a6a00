-- purpose: where the tree ends, and the end of the chain
-- parameters: none
-- result: size bigint, chain_hash bytea; no row when the tree is empty
SELECT first_position - 1 + octet_length(leaf_hashes) / 32 AS size, chain_hash
FROM audit.runs
ORDER BY first_position DESC
LIMIT 1
