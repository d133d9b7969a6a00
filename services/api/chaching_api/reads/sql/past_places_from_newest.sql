-- purpose: where customers stand between two places, the newest first, whatever became of them, and
--   who of them was there at a position of the log
-- parameters: $1 text account, $2 boolean livemode, $3 bigint created, $4 text id, both of the
--   place after which, $5 bigint created, $6 text id, both of the place before which, $7 bigint
--   limit, $8 bigint position
-- result: id text, created bigint, was_there boolean
-- note: one index has the living on no clock, another all the rest; each is walked a few steps
SELECT place.id, place.created, first.version IS NOT NULL AS was_there
FROM (
    (
        SELECT c.created, c.id
        FROM read_model.customers AS c
        WHERE c.account = $1 AND c.livemode = $2 AND coalesce(c.test_clock, '') COLLATE "C" = ''
          AND NOT c.deleted
          AND (c.created, c.id) > ($3, $4) AND (c.created, c.id) < ($5, $6)
        ORDER BY c.created DESC, c.id DESC
        LIMIT $7
    )
    UNION ALL
    (
        SELECT c.created, c.id
        FROM read_model.customers AS c
        WHERE c.account = $1 AND c.livemode = $2 AND (c.deleted OR c.test_clock IS NOT NULL)
          AND (c.created, c.id) > ($3, $4) AND (c.created, c.id) < ($5, $6)
        ORDER BY c.created DESC, c.id DESC
        LIMIT $7
    )
    ORDER BY created DESC, id DESC
    LIMIT $7
) AS place
LEFT JOIN LATERAL (
    SELECT e.version
    FROM event_store.events AS e
    WHERE e.account = $1 AND e.livemode = $2 AND e.stream = place.id AND e.version = 1
      AND e.position <= $8
    LIMIT 1
) AS first ON true
ORDER BY place.created DESC, place.id DESC
