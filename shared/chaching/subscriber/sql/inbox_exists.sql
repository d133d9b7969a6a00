-- purpose: whether the inbox is there
-- parameters: none
-- result: is_there boolean; one row
SELECT to_regclass('chaching_inbox.parked_events') IS NOT NULL AS is_there
