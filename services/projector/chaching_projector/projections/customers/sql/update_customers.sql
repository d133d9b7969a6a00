-- purpose: replace the rows of customers that stand at the version before
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids, $4 integer[] versions,
--   $5 bigint[] positions, $6 bigint[] created, $7 boolean[] deleted, $8 text[] emails,
--   $9 text[] names, $10 text[] phones, $11 jsonb[] metadata, $12 text[] test clocks,
--   $13 text[] bodies, $14 text[] attached, $15 integer[] versions before; one element a customer
-- result: rows touched; a row at another version is left alone and not counted
-- note: the rows are found first, one by one, so that a plan made over a small table looks none
--   through when it has grown
UPDATE read_model.customers AS c
SET version = r.version, position = r.position, created = r.created, deleted = r.deleted,
    email = r.email, name = r.name, phone = r.phone, metadata = r.metadata,
    test_clock = r.test_clock, body = r.body, attached = r.attached
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[],
            $7::boolean[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::text[],
            $13::text[], $14::text[], $15::integer[])
     AS r (account, livemode, id, version, position, created, deleted, email, name, phone,
           metadata, test_clock, body, attached, before)
CROSS JOIN LATERAL (
    SELECT k.ctid
    FROM read_model.customers AS k
    WHERE k.account = r.account AND k.livemode = r.livemode AND k.id = r.id
    LIMIT 1
) AS found
WHERE c.ctid = found.ctid AND c.version = r.before
