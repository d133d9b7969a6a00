-- purpose: the rows of the customers that have events in a range of the log or wait for a renewal,
--   and an end of that wait
-- parameters: $1 bigint after this position, $2 bigint up to this position
-- result: account text, livemode boolean, id text, created bigint, deleted boolean, email text,
--   name text, phone text, metadata text (a JSON object, null when deleted)
-- note: rows are found one by one, whatever the tables' sizes were at planning; a renewal is taken
--   in the snapshot in which its row is read
WITH renewed AS (
    DELETE FROM read_model.search_renewals AS r
    RETURNING r.account, r.livemode, r.id
), changed AS (
    SELECT e.account, e.livemode, e.stream AS id
    FROM event_store.events AS e
    WHERE e.position > $1 AND e.position <= $2
    UNION
    SELECT renewed.account, renewed.livemode, renewed.id
    FROM renewed
)
SELECT changed.account, changed.livemode, changed.id, c.created, c.deleted, c.email, c.name,
       c.phone, c.metadata::text AS metadata
FROM changed
CROSS JOIN LATERAL (
    SELECT k.created, k.deleted, k.email, k.name, k.phone, k.metadata
    FROM read_model.customers AS k
    WHERE k.account = changed.account AND k.livemode = changed.livemode AND k.id = changed.id
    LIMIT 1
) AS c
