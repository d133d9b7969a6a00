-- purpose: what tells this log from every other one
-- parameters: none
-- result: log_id text
SELECT log_id::text FROM event_store.log_head
