-- purpose: note that the last try of the event at a position says nothing about the event
-- parameters: $1 text name, $2 bigint epoch, $3 bigint position
-- result: rows touched
UPDATE chaching_inbox.subscribers
SET tries = tries - 1
WHERE name = $1 AND epoch = $2 AND trying = $3 AND tries > 0
