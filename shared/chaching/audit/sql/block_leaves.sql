-- purpose: the leaf hashes of blocks of 256 events, as far as there are any
-- parameters: $1 bigint[] the first positions of blocks
-- result: first_position bigint, leaf_hashes bytea (joined, in order of position)
SELECT b.first_position,
       string_agg(
           substring(
               r.leaf_hashes
               FROM 1 + 32 * greatest(b.first_position - r.first_position, 0)::integer
               FOR 32 * (b.first_position + 256 - greatest(b.first_position, r.first_position))::integer
           ),
           ''::bytea ORDER BY r.first_position
       ) AS leaf_hashes
FROM unnest($1::bigint[]) AS b (first_position)
JOIN audit.runs AS r
    ON r.first_position > b.first_position - 1024
    AND r.first_position < b.first_position + 256
GROUP BY b.first_position
