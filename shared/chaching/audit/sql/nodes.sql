-- purpose: stored nodes of the tree
-- parameters: $1 smallint[] levels, $2 bigint[] numbers
-- result: level smallint, number bigint, hash bytea
SELECT n.level, n.number, n.hash
FROM unnest($1::smallint[], $2::bigint[]) AS wanted (level, number)
JOIN audit.nodes AS n ON n.level = wanted.level AND n.number = wanted.number
