-- purpose: the first event whose version another event of its stream has before it
-- parameters: $1 bigint up to and with position
-- result: position bigint (null: there is none)
-- note: reads the whole log; the unique key makes it needless where it is in force
SELECT min(counted.position) AS position
FROM (
    SELECT
        position,
        row_number() OVER (
            PARTITION BY stream, account, livemode, version ORDER BY position
        ) AS number
    FROM event_store.events
    WHERE position <= $1
) AS counted
WHERE counted.number > 1
