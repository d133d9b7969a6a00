-- purpose: in which accounts and modes a stream of this name is, for whoever administers all
-- parameters: $1 text stream, $2 text account or null for all, $3 boolean livemode or null for
--   both, $4 bigint limit
-- result: account text, livemode boolean
SELECT e.account, e.livemode
FROM event_store.events AS e
WHERE e.stream = $1
  AND ($2::text IS NULL OR e.account = $2)
  AND ($3::boolean IS NULL OR e.livemode = $3)
  AND e.version = 1
ORDER BY e.account, e.livemode
LIMIT $4
