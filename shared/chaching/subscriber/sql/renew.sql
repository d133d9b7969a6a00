-- purpose: say that the holder of a subscriber's position is alive
-- parameters: $1 text name, $2 bigint epoch
-- result: rows touched; none when another took over
UPDATE chaching_inbox.subscribers
SET renewed_at = clock_timestamp()
WHERE name = $1 AND epoch = $2
