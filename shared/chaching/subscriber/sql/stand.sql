-- purpose: where a subscriber stands, and under which epoch
-- parameters: $1 text name
-- result: epoch bigint, position bigint; no row when it was deleted
SELECT epoch, position
FROM chaching_inbox.subscribers
WHERE name = $1
