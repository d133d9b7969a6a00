-- purpose: note before a try that the event at a position is tried, and count its tries
-- parameters: $1 text name, $2 bigint epoch, $3 bigint position
-- result: tries integer; no row when another took over
UPDATE chaching_inbox.subscribers
SET trying = $3, tries = CASE WHEN trying = $3 THEN tries + 1 ELSE 1 END
WHERE name = $1 AND epoch = $2
RETURNING tries
