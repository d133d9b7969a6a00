-- purpose: store the hashes of events that stand side by side, in runs
-- parameters: $1 bigint[] first positions, $2 smallint[] formats, $3 bytea[] leaf hashes, joined,
--   $4 bytea[] chain hashes
-- result: rows touched
INSERT INTO audit.runs (first_position, format, leaf_hashes, chain_hash)
SELECT *
FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[])
