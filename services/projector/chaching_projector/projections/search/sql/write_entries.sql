-- purpose: write the entries of customers; one that would stay as it is is left alone
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 bigint[] created, $4 text[] ids,
--   $5 text[] emails, $6 text[] names, $7 text[] phones, $8 text[] metadata as JSON,
--   $9 text[] terms, each an array's text; one element a customer
-- result: rows touched
INSERT INTO read_model.search_entries AS s
    (account, livemode, created, id, email, name, phone, metadata, terms)
SELECT w.account, w.livemode, w.created, w.id, w.email, w.name, w.phone, w.metadata::jsonb,
       w.terms::bigint[]
FROM unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::text[], $9::text[])
     AS w (account, livemode, created, id, email, name, phone, metadata, terms)
ON CONFLICT ON CONSTRAINT search_entries_pkey DO UPDATE
SET email = excluded.email, name = excluded.name, phone = excluded.phone,
    metadata = excluded.metadata, terms = excluded.terms
WHERE (s.email, s.name, s.phone, s.metadata, s.terms)
    IS DISTINCT FROM
    (excluded.email, excluded.name, excluded.phone, excluded.metadata, excluded.terms)
