-- purpose: replace the wrappings of data keys; one that has changed meanwhile is left alone
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] streams, $4 bytea[] old
--   wrappings, $5 bytea[] new wrappings; one element a key
-- result: rows touched
UPDATE event_store.data_keys AS k
SET wrapped = w.new
FROM unnest($1::text[], $2::boolean[], $3::text[], $4::bytea[], $5::bytea[])
     AS w (account, livemode, stream, old, new)
WHERE k.stream = w.stream AND k.account = w.account AND k.livemode = w.livemode
  AND k.wrapped = w.old
