-- purpose: write the rows of customers that have none yet
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids, $4 integer[] versions,
--   $5 bigint[] positions, $6 bigint[] created, $7 boolean[] deleted, $8 text[] emails,
--   $9 text[] names, $10 text[] phones, $11 jsonb[] metadata, $12 text[] test clocks,
--   $13 text[] bodies, $14 text[] attached; one element a customer
-- result: rows touched; a row that is there already is left alone and not counted
INSERT INTO read_model.customers (account, livemode, id, version, position, created, deleted,
                                  email, name, phone, metadata, test_clock, body, attached)
SELECT *
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[],
            $7::boolean[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::text[],
            $13::text[], $14::text[])
ON CONFLICT ON CONSTRAINT customers_pkey DO NOTHING
