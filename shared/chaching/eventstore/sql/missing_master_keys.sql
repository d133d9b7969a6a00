-- purpose: the master keys that data keys may be wrapped with and that are not there
-- parameters: $1 bytea[] ids of the master keys that are there
-- result: key_id bytea
SELECT key_id
FROM event_store.master_keys
WHERE key_id <> ALL ($1::bytea[])
ORDER BY since
