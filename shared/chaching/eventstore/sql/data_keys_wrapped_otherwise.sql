-- purpose: the next data keys that are wrapped with another master key
-- parameters: $1 bytea id of the master key, $2 text stream, $3 text account, $4 boolean livemode,
--   all three of the one after which to go on, $5 bigint at most so many
-- result: account text, livemode boolean, stream text, wrapped bytea
SELECT k.account, k.livemode, k.stream, k.wrapped
FROM event_store.data_keys AS k
WHERE k.erased_position IS NULL AND substring(k.wrapped FROM 1 FOR 4) <> $1
  AND (k.stream, k.account, k.livemode) > ($2, $3, $4)
ORDER BY k.stream, k.account, k.livemode
LIMIT $5
