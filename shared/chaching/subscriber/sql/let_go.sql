-- purpose: leave a subscriber's position to whoever asks next
-- parameters: $1 text name, $2 bigint epoch
-- result: rows touched
UPDATE chaching_inbox.subscribers
SET holder = NULL
WHERE name = $1 AND epoch = $2
