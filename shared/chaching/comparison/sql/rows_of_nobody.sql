-- purpose: the next rows of the read model, and which of them are of a customer the log knows
-- parameters: $1 text account, $2 boolean livemode, $3 text id, of the row after which, $4 bigint
--   limit
-- result: account text, livemode boolean, id text, version integer, is_known boolean
SELECT c.account, c.livemode, c.id, c.version, first.position IS NOT NULL AS is_known
FROM (
    SELECT r.account, r.livemode, r.id, r.version
    FROM read_model.customers AS r
    WHERE (r.account, r.livemode, r.id) > ($1, $2, $3)
    ORDER BY r.account, r.livemode, r.id
    LIMIT $4
) AS c
LEFT JOIN LATERAL (
    SELECT e.position
    FROM event_store.events AS e
    WHERE e.account = c.account AND e.livemode = c.livemode AND e.stream = c.id AND e.version = 1
    LIMIT 1
) AS first ON true
ORDER BY c.account, c.livemode, c.id
