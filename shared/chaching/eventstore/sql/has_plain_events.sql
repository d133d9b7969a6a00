-- purpose: whether personal values of a customer stand in the log as they are, not encrypted
-- parameters: $1 text account, $2 boolean livemode, $3 text stream
-- result: found boolean
SELECT EXISTS (
    SELECT
    FROM event_store.events AS e
    WHERE e.account = $1 AND e.livemode = $2 AND e.stream = $3
      AND ((e.payload -> 'personal')::text LIKE '{"%' OR (e.state -> 'personal')::text LIKE '{"%')
) AS found
