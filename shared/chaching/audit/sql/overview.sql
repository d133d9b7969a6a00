-- purpose: what the log, its tree and its checkpoints say of their own size, at one instant
-- parameters: none
-- result: heads bigint, head bigint, log_id text, first_position bigint, last_position bigint,
--   follower bigint, hashed bigint, nodes bigint, newest_checkpoint bigint
SELECT
    (SELECT count(*) FROM event_store.log_head) AS heads,
    (SELECT max(position) FROM event_store.log_head) AS head,
    (SELECT min(log_id::text) FROM event_store.log_head) AS log_id,
    (SELECT min(position) FROM event_store.events) AS first_position,
    (SELECT max(position) FROM event_store.events) AS last_position,
    (SELECT position FROM event_store.checkpoints WHERE name = 'audit') AS follower,
    (
        SELECT first_position - 1 + octet_length(leaf_hashes) / 32
        FROM audit.runs
        ORDER BY first_position DESC
        LIMIT 1
    ) AS hashed,
    (SELECT count(*) FROM audit.nodes) AS nodes,
    (SELECT max(number) FROM audit.signed_checkpoints) AS newest_checkpoint
