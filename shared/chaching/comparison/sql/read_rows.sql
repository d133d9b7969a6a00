-- purpose: rows of the read model, and which of those customers are parked
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids; one element a customer
-- result: item bigint (from 1), parked boolean, version integer, position bigint, created bigint,
--   deleted boolean, email text, name text, phone text, test_clock text, attached text, body text,
--   metadata jsonb; version null without a row
SELECT wanted.item, waiting.id IS NOT NULL AS parked, applied.version, applied.position,
       applied.created, applied.deleted, applied.email, applied.name, applied.phone,
       applied.test_clock, applied.attached, applied.body, applied.metadata
FROM unnest($1::text[], $2::boolean[], $3::text[])
     WITH ORDINALITY AS wanted (account, livemode, id, item)
LEFT JOIN LATERAL (
    SELECT c.version, c.position, c.created, c.deleted, c.email, c.name, c.phone, c.test_clock,
           c.attached, c.body, c.metadata
    FROM read_model.customers AS c
    WHERE c.account = wanted.account AND c.livemode = wanted.livemode AND c.id = wanted.id
    LIMIT 1
) AS applied ON true
LEFT JOIN LATERAL (
    SELECT p.id
    FROM read_model.parked_streams AS p
    WHERE p.account = wanted.account AND p.livemode = wanted.livemode AND p.id = wanted.id
    LIMIT 1
) AS waiting ON true
