-- purpose: append the outcomes of a batch of commands, each on its own merits
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] streams,
--   $4 integer[] expected versions, $5 text[] event ids, $6 text[] types,
--   $7 smallint[] schema versions, $8 json[] payloads, $9 json[] states, $10 json[] metadatas,
--   $11 text[] invoice prefixes, $12 text[] idempotency keys, $13 bytea[] fingerprints,
--   $14 text[] request ids, $15 text[] answers, $16 bytea[] new data keys; one element an item, a
--   stream at most once
-- result: item bigint (from 1), outcome text, position bigint, version integer, holder text,
--   request_id text, fingerprint bytea, answer text, answered_stream text, data_key bytea
SELECT item, outcome, position, version, holder, request_id, fingerprint, answer, answered_stream,
       data_key
FROM event_store.append_events(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
)
