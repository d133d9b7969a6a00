-- purpose: drop the ids of master keys that nothing is wrapped with any more
-- parameters: $1 bytea id of the master key that stays
-- result: rows touched
DELETE FROM event_store.master_keys AS m
WHERE m.key_id <> $1 AND NOT EXISTS (
    SELECT
    FROM event_store.data_keys AS k
    WHERE substring(k.wrapped FROM 1 FOR 4) = m.key_id
)
