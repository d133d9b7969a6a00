-- purpose: of one account and mode, the newest event of each customer that the read model may not
--   have: those with events beyond the projection's checkpoint, and the parked ones
-- parameters: $1 text account, $2 boolean livemode, $3 bigint events of the log to look at, the
--   newest ones, $4 bigint bytes of states after which only ids are told
-- result: head bigint, checkpoint bigint, stream text, version integer, type text,
--   schema_version smallint, payload json, state json, data_key bytea; without such a customer one row whose stream is null; payload null
--   beside a state, and both null once the bytes are used up
-- note: ORDER BY and LIMIT keep the walk on the log's own key, whatever its size was at planning
SELECT log.head, log.checkpoint, newest.stream, newest.version, newest.type,
       newest.schema_version,
       CASE WHEN newest.state IS NULL AND coalesce(newest.bytes_before, 0) < $4
            THEN newest.payload END AS payload,
       CASE WHEN coalesce(newest.bytes_before, 0) < $4 THEN newest.state END AS state,
       newest.data_key
FROM (
    SELECT h.position AS head, p.position AS checkpoint
    FROM event_store.log_head AS h
    CROSS JOIN event_store.checkpoints AS p
    WHERE p.name = 'projection.customers'
) AS log
LEFT JOIN LATERAL (
    SELECT e.stream, e.version, e.type, e.schema_version, e.payload, e.state, (
               SELECT d.wrapped
               FROM event_store.data_keys AS d
               WHERE d.account = $1 AND d.livemode = $2 AND d.stream = e.stream
           ) AS data_key,
           sum(octet_length(coalesce(e.state, e.payload)::text)) OVER (
               ORDER BY found.position DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ) AS bytes_before
    FROM (
        SELECT max(beyond.position) AS position
        FROM (
            SELECT t.position, t.account, t.livemode, t.stream
            FROM event_store.events AS t
            WHERE t.position > greatest(log.checkpoint, log.head - $3)
            ORDER BY t.position
            LIMIT $3
        ) AS beyond
        WHERE beyond.account = $1 AND beyond.livemode = $2
        GROUP BY beyond.stream
        UNION
        SELECT waiting.position
        FROM read_model.parked_streams AS p
        CROSS JOIN LATERAL (
            SELECT t.position
            FROM event_store.events AS t
            WHERE t.account = p.account AND t.livemode = p.livemode AND t.stream = p.id
            ORDER BY t.version DESC
            LIMIT 1
        ) AS waiting
        WHERE p.account = $1 AND p.livemode = $2
    ) AS found
    CROSS JOIN LATERAL (
        SELECT t.stream, t.version, t.type, t.schema_version, t.payload, t.state
        FROM event_store.events AS t
        WHERE t.position = found.position
        LIMIT 1
    ) AS e
) AS newest ON true
