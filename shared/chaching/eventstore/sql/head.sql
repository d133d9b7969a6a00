-- purpose: the position of the newest event; 0 when the log is empty
-- parameters: none
-- result: position bigint
SELECT position FROM event_store.log_head
