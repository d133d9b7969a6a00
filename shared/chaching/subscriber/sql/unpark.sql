-- purpose: note that an event is parked no more
-- parameters: $1 text name, $2 bigint position
-- result: rows touched; none when it was not parked
DELETE FROM chaching_inbox.parked_events
WHERE name = $1 AND position = $2
