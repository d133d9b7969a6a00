-- purpose: whether an account has an event in a stretch of the log
-- parameters: $1 bigint after position, $2 bigint up to and with position, $3 text account,
--   $4 boolean livemode (null: either)
-- result: is_there boolean
SELECT EXISTS (
    SELECT
    FROM event_store.events AS e
    WHERE e.position > $1 AND e.position <= $2 AND e.account = $3
      AND ($4::boolean IS NULL OR e.livemode = $4)
) AS is_there
