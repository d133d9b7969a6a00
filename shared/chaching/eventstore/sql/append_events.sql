-- purpose: append the outcomes of a batch of commands, each on its own merits
-- parameters: $1 event_store.command[]; a stream, a prefix and a key at most once
-- result: item bigint (from 1), outcome text, position bigint, version integer, holder text,
--   request_id text, fingerprint bytea, answer text, answered_stream text, data_key bytea
SELECT item, outcome, position, version, holder, request_id, fingerprint, answer, answered_stream,
       data_key
FROM event_store.append_events($1)
