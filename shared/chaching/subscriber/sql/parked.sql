-- purpose: which events of a subscriber are parked
-- parameters: $1 text name
-- result: position bigint, account text, livemode boolean, customer_id text; by position
SELECT position, account, livemode, customer_id
FROM chaching_inbox.parked_events
WHERE name = $1
ORDER BY position
