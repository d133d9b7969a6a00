-- purpose: customers with an email between two places, the oldest first
-- parameters: $1 text account, $2 boolean livemode, $3 text test clock ('' for none),
--   $4 bigint created, $5 text id, both of the place after which, $6 bigint created, $7 text id,
--   both of the place before which, $8 text[] ids to leave out, $9 bigint limit,
--   $10 text email
-- result: id text, created bigint, body text
-- note: NOT IN is hashed once; an array in its place would be searched for every row
SELECT c.id, c.created, c.body
FROM read_model.customers AS c
WHERE c.account = $1 AND c.livemode = $2 AND coalesce(c.test_clock, '') COLLATE "C" = $3
  AND c.email COLLATE "C" = $10
  AND (c.created, c.id) > ($4, $5) AND (c.created, c.id) < ($6, $7)
  AND c.id NOT IN (SELECT tail.id FROM unnest($8::text[]) AS tail (id))
ORDER BY c.created, c.id
LIMIT $9
