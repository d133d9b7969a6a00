-- purpose: the customers of an account and mode that were erased after a position, the first ones
-- parameters: $1 text account, $2 boolean livemode, $3 bigint position, $4 bigint limit
-- result: id text
SELECT k.stream AS id
FROM event_store.data_keys AS k
WHERE k.erased_position > $3 AND k.account = $1 AND k.livemode = $2
ORDER BY k.erased_position
LIMIT $4
