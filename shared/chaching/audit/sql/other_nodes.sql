-- purpose: the first of some nodes that is stored with another hash, or not at all
-- parameters: $1 smallint[] levels, $2 bigint[] numbers, $3 bytea[] hashes
-- result: level smallint, number bigint
SELECT wanted.level, wanted.number
FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS wanted (level, number, hash)
LEFT JOIN audit.nodes AS n ON n.level = wanted.level AND n.number = wanted.number
WHERE n.hash IS DISTINCT FROM wanted.hash
ORDER BY wanted.number << wanted.level, wanted.level
LIMIT 1
