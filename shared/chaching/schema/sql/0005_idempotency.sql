-- The answers that idempotency keys have had, stored by the append that made them true.

-- fingerprint: SHA-256 of what was asked. answer: the exact bytes that were answered. request_id: the
-- request that was answered first. stream: whose values stand in the answer.
CREATE TABLE event_store.idempotency_keys (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    key text COLLATE "C" NOT NULL,
    stream text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    answer text NOT NULL,
    answered_at timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key, account, livemode),
    CONSTRAINT idempotency_keys_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32)
);

-- Old keys are found from its left end; new ones always land at its right end, which is cheap.
CREATE INDEX idempotency_keys_answered_at_idx ON event_store.idempotency_keys (answered_at);

-- Appends the outcomes of a batch of commands, each on its own merits.
--
-- Under the lock of the head row every item is judged: its idempotency key, if it brings one, must
-- not have been answered, its stream must stand at the expected version, and its invoice prefix, if
-- it brings one, must be free or its own. The good ones get the next positions in the order of the
-- arrays, and their answers are kept under their keys. One refused item never fails its neighbours.
--
-- All arrays have one element an item; a stream, a prefix and a key stand at most once in a batch.
-- An item without a type brings no event: its command changed nothing, and only its answer is kept.
-- A prefix, once used, belongs to its customer for good, since invoice numbers begin with it; a
-- customer that comes back to an old one of its own reserves nothing new.
-- An item that is already stored (a retry after a lost connection: the same event id, or the same
-- request under the same key) is answered as it was then.
--
-- Result, one row an item: item (from 1), outcome ('appended' | 'kept' | 'answered' | 'conflict' |
-- 'prefix_taken'), position (when appended), version (the stream's newest before this call, or of
-- the event when appended), holder (the customer that has the prefix), and of a key that was
-- answered before ('answered') the request, its fingerprint and its answer.
DROP FUNCTION event_store.append_events;

CREATE FUNCTION event_store.append_events(
    accounts text[],
    livemodes boolean[],
    streams text[],
    expected_versions integer[],
    event_ids text[],
    types text[],
    schema_versions smallint[],
    payloads json[],
    states json[],
    metadatas json[],
    prefixes text[],
    idempotency_keys text[],
    fingerprints bytea[],
    request_ids text[],
    answers text[]
) RETURNS TABLE (item bigint, outcome text, "position" bigint, version integer, holder text,
                 request_id text, fingerprint bytea, answer text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- one plan whatever the statistics say: a cached plan from an empty log must serve a full one
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
#variable_conflict use_column
DECLARE
    head bigint;
    instant timestamptz;
BEGIN
    SELECT h.position INTO STRICT head FROM event_store.log_head AS h FOR UPDATE;
    instant := clock_timestamp();

    RETURN QUERY
    WITH items AS (
        SELECT i.*,
               coalesce(newest.version, 0) AS current_version,
               coalesce(newest.position, 0) AS current_position,
               holding.stream AS prefix_holder,
               used.request_id AS used_request_id,
               used.fingerprint AS used_fingerprint,
               used.answer AS used_answer
        FROM unnest(accounts, livemodes, streams, expected_versions, event_ids, types,
                    schema_versions, payloads, states, metadatas, prefixes, idempotency_keys,
                    fingerprints, request_ids, answers)
             WITH ORDINALITY AS i (account, livemode, stream, expected_version, event_id, type,
                                   schema_version, payload, state, metadata, prefix,
                                   idempotency_key, fingerprint, request_id, answer, item)
        LEFT JOIN LATERAL (
            SELECT e.version, e.position
            FROM event_store.events AS e
            WHERE e.account = i.account AND e.livemode = i.livemode AND e.stream = i.stream
            ORDER BY e.version DESC
            LIMIT 1
        ) AS newest ON true
        LEFT JOIN LATERAL (
            SELECT e.stream
            FROM event_store.events AS e
            WHERE e.account = i.account AND e.livemode = i.livemode
              AND e.invoice_prefix = i.prefix
            LIMIT 1  -- there is one at most; this keeps it a look-up for each item
        ) AS holding ON true
        LEFT JOIN LATERAL (
            SELECT k.request_id, k.fingerprint, k.answer
            FROM event_store.idempotency_keys AS k
            WHERE k.account = i.account AND k.livemode = i.livemode AND k.key = i.idempotency_key
            LIMIT 1  -- likewise
        ) AS used ON true
    ),
    judged AS MATERIALIZED (
        SELECT i.*, verdict.is_good,
               head + count(*) FILTER (WHERE verdict.is_good AND i.type IS NOT NULL)
                   OVER (ORDER BY i.item) AS position
        FROM items AS i
        CROSS JOIN LATERAL (
            SELECT i.used_request_id IS NULL
                   AND i.current_version = i.expected_version
                   AND (i.prefix_holder IS NULL OR i.prefix_holder = i.stream)
        ) AS verdict (is_good)
    ),
    appended AS (
        INSERT INTO event_store.events (
            position, account, livemode, stream, version, previous_position, event_id, type,
            schema_version, payload, state, metadata, invoice_prefix, recorded_at)
        SELECT j.position, j.account, j.livemode, j.stream, j.expected_version + 1,
               j.current_position, j.event_id, j.type, j.schema_version, j.payload, j.state,
               j.metadata, CASE WHEN j.prefix_holder IS NULL THEN j.prefix END, instant
        FROM judged AS j
        WHERE j.is_good AND j.type IS NOT NULL
    ),
    kept AS (
        INSERT INTO event_store.idempotency_keys (
            account, livemode, key, stream, fingerprint, request_id, answer, answered_at)
        SELECT j.account, j.livemode, j.idempotency_key, j.stream, j.fingerprint, j.request_id,
               j.answer, instant
        FROM judged AS j
        WHERE j.is_good AND j.idempotency_key IS NOT NULL
    )
    SELECT a.item,
           CASE WHEN a.position IS NOT NULL THEN 'appended'
                WHEN a.is_kept THEN 'kept'
                WHEN a.used_request_id IS NOT NULL THEN 'answered'
                WHEN a.current_version <> a.expected_version THEN 'conflict'
                ELSE 'prefix_taken' END,
           a.position,
           CASE WHEN a.position IS NULL THEN a.current_version ELSE a.expected_version + 1 END,
           a.prefix_holder,
           CASE WHEN a.is_answered THEN a.used_request_id END,
           CASE WHEN a.is_answered THEN a.used_fingerprint END,
           CASE WHEN a.is_answered THEN a.used_answer END
    FROM (
        SELECT j.*,
               CASE WHEN j.type IS NULL THEN NULL
                    WHEN j.is_good THEN j.position
                    ELSE (
                        SELECT e.position
                        FROM event_store.events AS e
                        WHERE e.account = j.account AND e.livemode = j.livemode
                          AND e.stream = j.stream AND e.version = j.expected_version + 1
                          AND e.event_id = j.event_id
                    ) END AS stored_position,
               j.type IS NULL AND (j.is_good OR j.used_request_id = j.request_id) AS is_kept
        FROM judged AS j
    ) AS s
    CROSS JOIN LATERAL (
        SELECT s.item, s.stored_position AS position, s.is_kept, s.used_request_id,
               s.used_fingerprint, s.used_answer, s.current_version, s.expected_version,
               s.prefix_holder,
               s.used_request_id IS NOT NULL AND s.stored_position IS NULL AND NOT s.is_kept
                   AS is_answered
    ) AS a;

    UPDATE event_store.log_head AS h
    SET position = newest.position
    FROM (SELECT max(e.position) AS position
          FROM event_store.events AS e
          WHERE e.position > head) AS newest
    WHERE newest.position IS NOT NULL;
END
$$;

-- Deletes at most so many keys that are older than a day, the oldest first, and says how many they
-- were. Younger ones stay, whatever the caller wants. Callers at the same time share the work.
CREATE FUNCTION event_store.forget_idempotency_keys(at_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    WITH forgotten AS (
        DELETE FROM event_store.idempotency_keys AS k
        USING (
            SELECT o.key, o.account, o.livemode
            FROM event_store.idempotency_keys AS o
            WHERE o.answered_at < clock_timestamp() - interval '24 hours'
            ORDER BY o.answered_at
            LIMIT at_most
            FOR UPDATE SKIP LOCKED
        ) AS old
        WHERE k.key = old.key AND k.account = old.account AND k.livemode = old.livemode
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

REVOKE ALL ON FUNCTION event_store.append_events FROM PUBLIC;
REVOKE ALL ON FUNCTION event_store.forget_idempotency_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_store.append_events TO chaching_gateway;
GRANT EXECUTE ON FUNCTION event_store.forget_idempotency_keys TO chaching_gateway;
GRANT SELECT ON event_store.idempotency_keys TO chaching_gateway;
