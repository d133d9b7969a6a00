-- purpose: the next parked streams, where the log has the event that each waits at, and its row
-- parameters: $1 text account, $2 boolean livemode, $3 text id, of the one after which, $4 bigint
--   limit
-- result: account text, livemode boolean, id text, first_version integer, first_position bigint,
--   position bigint (null: no such event), row_version integer (0: no row)
SELECT p.account, p.livemode, p.id, p.first_version, p.first_position, waiting.position,
       coalesce(applied.version, 0) AS row_version
FROM (
    SELECT r.account, r.livemode, r.id, r.first_version, r.first_position
    FROM read_model.parked_streams AS r
    WHERE (r.account, r.livemode, r.id) > ($1, $2, $3)
    ORDER BY r.account, r.livemode, r.id
    LIMIT $4
) AS p
LEFT JOIN LATERAL (
    SELECT e.position
    FROM event_store.events AS e
    WHERE e.account = p.account AND e.livemode = p.livemode AND e.stream = p.id
      AND e.version = p.first_version
    LIMIT 1
) AS waiting ON true
LEFT JOIN LATERAL (
    SELECT c.version
    FROM read_model.customers AS c
    WHERE c.account = p.account AND c.livemode = p.livemode AND c.id = p.id
    LIMIT 1
) AS applied ON true
ORDER BY p.account, p.livemode, p.id
