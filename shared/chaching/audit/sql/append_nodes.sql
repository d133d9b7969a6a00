-- purpose: store nodes of the tree that are complete now
-- parameters: $1 smallint[] levels, $2 bigint[] numbers, $3 bytea[] hashes
-- result: rows touched
INSERT INTO audit.nodes (level, number, hash)
SELECT *
FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])
