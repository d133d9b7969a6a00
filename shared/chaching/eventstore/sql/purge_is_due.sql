-- purpose: whether the broker may keep values of customers who were erased so long ago
-- parameters: $1 double precision seconds
-- result: due boolean
SELECT EXISTS (
    SELECT
    FROM event_store.data_keys AS k
    JOIN event_store.events AS e ON e.position = k.erased_position
    WHERE k.erased_position > p.position
      AND e.recorded_at <= clock_timestamp() - make_interval(secs => $1)
) AS due
FROM event_store.broker_purge AS p
