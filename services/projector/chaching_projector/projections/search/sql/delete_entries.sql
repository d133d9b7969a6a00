-- purpose: remove the entries of deleted customers
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 bigint[] created, $4 text[] ids; one
--   element a customer
-- result: rows touched
-- note: the entries are found one by one, whatever the table's size was at planning
DELETE FROM read_model.search_entries AS s
USING unnest($1::text[], $2::boolean[], $3::bigint[], $4::text[])
      AS w (account, livemode, created, id)
CROSS JOIN LATERAL (
    SELECT k.ctid
    FROM read_model.search_entries AS k
    WHERE k.account = w.account AND k.livemode = w.livemode AND k.created = w.created
      AND k.id = w.id
    LIMIT 1
) AS found
WHERE s.ctid = found.ctid
