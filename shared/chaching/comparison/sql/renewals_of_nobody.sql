-- purpose: the next noted renewals of entries, and which of them are of a customer the log knows
-- parameters: $1 bigint renewal after which, $2 bigint limit
-- result: renewal bigint, account text, livemode boolean, id text, is_known boolean
SELECT n.renewal, n.account, n.livemode, n.id, first.position IS NOT NULL AS is_known
FROM (
    SELECT r.renewal, r.account, r.livemode, r.id
    FROM read_model.search_renewals AS r
    WHERE r.renewal > $1
    ORDER BY r.renewal
    LIMIT $2
) AS n
LEFT JOIN LATERAL (
    SELECT e.position
    FROM event_store.events AS e
    WHERE e.account = n.account AND e.livemode = n.livemode AND e.stream = n.id AND e.version = 1
    LIMIT 1
) AS first ON true
ORDER BY n.renewal
