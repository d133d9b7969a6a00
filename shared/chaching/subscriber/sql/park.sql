-- purpose: note which events stand in the parked queue
-- parameters: $1 text name, $2 bigint[] positions, $3 text[] accounts, $4 boolean[] livemodes,
--   $5 text[] customer ids, $6 text[] reasons
-- result: rows touched
INSERT INTO chaching_inbox.parked_events
    (name, position, account, livemode, customer_id, reason)
SELECT $1, new.*
FROM unnest($2::bigint[], $3::text[], $4::boolean[], $5::text[], $6::text[]) AS new
ON CONFLICT ON CONSTRAINT parked_events_pkey DO UPDATE SET reason = EXCLUDED.reason
