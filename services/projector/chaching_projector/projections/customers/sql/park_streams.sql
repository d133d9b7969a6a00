-- purpose: note the streams that cannot be applied, from which event on, and why
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids,
--   $4 integer[] first versions, $5 bigint[] first positions, $6 text[] reasons
-- result: rows touched
INSERT INTO read_model.parked_streams (account, livemode, id, first_version, first_position, reason)
SELECT *
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::integer[], $5::bigint[], $6::text[])
