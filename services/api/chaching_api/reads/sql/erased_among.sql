-- purpose: which of some customers of an account and mode were erased
-- parameters: $1 text account, $2 boolean livemode, $3 text[] ids
-- result: id text
-- note: they are looked up one by one, whatever the table's size was at planning
SELECT wanted.id
FROM unnest($3::text[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT k.stream
    FROM event_store.data_keys AS k
    WHERE k.stream = wanted.id AND k.account = $1 AND k.livemode = $2
      AND k.erased_position IS NOT NULL
    LIMIT 1
) AS erased
