-- purpose: rows and search entries of customers, and which of those wait for more than events
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids, $4 bigint[] created; one
--   element a customer
-- result: item bigint (from 1), parked boolean, renewed boolean, version integer, position bigint,
--   created bigint, deleted boolean, email text, name text, phone text, test_clock text,
--   attached text, body text, metadata jsonb, has_entry boolean, entry_email text, entry_name text,
--   entry_phone text, entry_metadata jsonb, entry_terms bigint[]; version null without a row
SELECT wanted.item,
       EXISTS (
           SELECT
           FROM read_model.parked_streams AS p
           WHERE p.account = wanted.account AND p.livemode = wanted.livemode AND p.id = wanted.id
       ) AS parked,
       EXISTS (
           SELECT
           FROM read_model.search_renewals AS n
           WHERE n.account = wanted.account AND n.livemode = wanted.livemode AND n.id = wanted.id
       ) AS renewed,
       applied.version, applied.position, applied.created, applied.deleted, applied.email,
       applied.name, applied.phone, applied.test_clock, applied.attached, applied.body,
       applied.metadata, entry.id IS NOT NULL AS has_entry, entry.email AS entry_email,
       entry.name AS entry_name, entry.phone AS entry_phone, entry.metadata AS entry_metadata,
       entry.terms AS entry_terms
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::bigint[])
     WITH ORDINALITY AS wanted (account, livemode, id, created, item)
LEFT JOIN LATERAL (
    SELECT c.version, c.position, c.created, c.deleted, c.email, c.name, c.phone, c.test_clock,
           c.attached, c.body, c.metadata
    FROM read_model.customers AS c
    WHERE c.account = wanted.account AND c.livemode = wanted.livemode AND c.id = wanted.id
    LIMIT 1
) AS applied ON true
LEFT JOIN LATERAL (
    SELECT s.id, s.email, s.name, s.phone, s.metadata, s.terms
    FROM read_model.search_entries AS s
    WHERE s.account = wanted.account AND s.livemode = wanted.livemode
      AND s.created = wanted.created AND s.id = wanted.id
    LIMIT 1
) AS entry ON true
