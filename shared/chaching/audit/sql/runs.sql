-- purpose: the stored hashes of a stretch of the log
-- parameters: $1 bigint after position, $2 bigint up to and with position
-- result: first_position bigint, format smallint, leaf_hashes bytea, chain_hash bytea
SELECT first_position, format, leaf_hashes, chain_hash
FROM audit.runs
WHERE first_position > $1 AND first_position <= $2
ORDER BY first_position
