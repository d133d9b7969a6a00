-- purpose: move a subscriber's position, in the transaction of the work that it stands for
-- parameters: $1 text name, $2 bigint epoch, $3 bigint position before, $4 text log id,
--   $5 bigint position after, $6 timestamptz time of the event there
-- result: rows touched; none when another took over or the position is not as expected
UPDATE chaching_inbox.subscribers
SET log_id = $4, position = $5, event_time = $6, renewed_at = clock_timestamp(),
    trying = 0, tries = 0
WHERE name = $1 AND epoch = $2 AND position = $3
