-- purpose: note the master key that new data keys are wrapped with, unless one in use is missing
-- parameters: $1 bytea[] ids of the master keys that are there, the one to note first
-- result: admitted boolean
SELECT event_store.admit_master_key($1) AS admitted
