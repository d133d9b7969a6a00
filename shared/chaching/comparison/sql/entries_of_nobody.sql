-- purpose: the next entries for searches, and since when the log knows the customer of each
-- parameters: $1 text account, $2 boolean livemode, $3 bigint created, $4 text id, of the entry
--   after which, $5 bigint limit
-- result: account text, livemode boolean, created bigint, id text, is_known boolean,
--   first_created text (as the first event says it)
SELECT s.account, s.livemode, s.created, s.id, first.position IS NOT NULL AS is_known,
       first.created AS first_created
FROM (
    SELECT r.account, r.livemode, r.created, r.id
    FROM read_model.search_entries AS r
    WHERE (r.account, r.livemode, r.created, r.id) > ($1, $2, $3, $4)
    ORDER BY r.account, r.livemode, r.created, r.id
    LIMIT $5
) AS s
LEFT JOIN LATERAL (
    SELECT e.position, e.payload ->> 'created' AS created
    FROM event_store.events AS e
    WHERE e.account = s.account AND e.livemode = s.livemode AND e.stream = s.id AND e.version = 1
    LIMIT 1
) AS first ON true
ORDER BY s.account, s.livemode, s.created, s.id
