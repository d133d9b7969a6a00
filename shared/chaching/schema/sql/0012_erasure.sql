-- Forgetting a person: personal values are stored encrypted with a key per customer, which can be destroyed.

-- wrapped: the customer's data key, encrypted with a master key that the database does not know; it
-- begins with the id of that master key. Empty once the customer is erased, by the event at
-- erased_position.
CREATE TABLE event_store.data_keys (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    stream text COLLATE "C" NOT NULL,
    wrapped bytea NOT NULL,
    erased_position bigint,
    CONSTRAINT data_keys_pkey PRIMARY KEY (stream, account, livemode),
    CONSTRAINT data_keys_wrapped_is_whole CHECK (octet_length(wrapped) IN (0, 64)),
    CONSTRAINT data_keys_erased_are_empty CHECK (
        (octet_length(wrapped) = 0) = (erased_position IS NOT NULL)
    )
);

-- Few are erased; what is owed to them elsewhere is found by their events.
CREATE INDEX data_keys_erased_position_idx ON event_store.data_keys (erased_position)
    WHERE erased_position IS NOT NULL;

-- Up to which event nothing that the broker keeps says more of erased customers than the log does.
CREATE TABLE event_store.broker_purge (
    singleton boolean NOT NULL DEFAULT true,
    position bigint NOT NULL DEFAULT 0,
    CONSTRAINT broker_purge_pkey PRIMARY KEY (singleton),
    CONSTRAINT broker_purge_is_one_row CHECK (singleton)
);

INSERT INTO event_store.broker_purge DEFAULT VALUES;

-- The ids of the master keys that data keys may be wrapped with; the keys themselves are not here.
CREATE TABLE event_store.master_keys (
    key_id bytea NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT master_keys_pkey PRIMARY KEY (key_id)
);

-- A data key is destroyed once and for all; until then it may be wrapped anew. Its row stays.
CREATE FUNCTION event_store.refuse_data_key_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a data key is only wrapped anew or destroyed: this % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION event_store.refuse_data_key_change FROM PUBLIC;

CREATE TRIGGER data_keys_refuse_deletion
    BEFORE DELETE OR TRUNCATE ON event_store.data_keys
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_data_key_change();

CREATE TRIGGER data_keys_refuse_change
    BEFORE UPDATE ON event_store.data_keys
    FOR EACH ROW
    WHEN (
        OLD.erased_position IS NOT NULL
        OR (OLD.account, OLD.livemode, OLD.stream)
            IS DISTINCT FROM (NEW.account, NEW.livemode, NEW.stream)
    )
    EXECUTE FUNCTION event_store.refuse_data_key_change();

-- Notes the first of a process's master keys, unless the process lacks one that is in use: then
-- false. So two processes with different keys never encrypt values side by side.
CREATE FUNCTION event_store.admit_master_key(key_ids bytea[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE event_store.master_keys IN EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM event_store.master_keys AS k WHERE k.key_id <> ALL (key_ids)) THEN
        RETURN false;
    END IF;
    INSERT INTO event_store.master_keys (key_id) VALUES (key_ids[1]) ON CONFLICT DO NOTHING;
    RETURN true;
END
$$;

-- Appends the outcomes of a batch of commands, each on its own merits.
--
-- Under the lock of the head row every item is judged: its idempotency key, if it brings one, must
-- not have been answered, its stream must stand at the expected version, and its invoice prefix, if
-- it brings one, must be free or its own. The good ones get the next positions in the order of the
-- array, and their answers are kept under their keys. One refused item never fails its neighbours.
--
-- A stream, a prefix and a key stand at most once in a batch.
-- An item without a type brings no event: its command changed nothing, and only its answer is kept.
-- A prefix, once used, belongs to its customer for good, since invoice numbers begin with it; a
-- customer that comes back to an old one of its own reserves nothing new.
-- An item that is already stored (a retry after a lost connection: the same event id, or the same
-- request under the same key) is answered as it was then.
-- A stream without a data key brings one; it is stored with the first item that is good. An item
-- that brings one to a stream that has got another since is a conflict, whatever the version.
-- A CustomerErased destroys the data key of its stream for good; one that it brings is never stored,
-- and where there was none it leaves a destroyed one.
--
-- Result, one row an item: item (from 1), outcome ('appended' | 'kept' | 'answered' | 'conflict' |
-- 'prefix_taken'), position (when appended), version (the stream's newest before this call, or of
-- the event when appended), holder (the customer that has the prefix), and of a key that was
-- answered before ('answered') the request, its fingerprint, its answer, whose values stand in that
-- and the data key of it.
--
-- A batch is one array of rows: with one array for each column an append took a tenth more of a
-- gateway's processor time.
DROP FUNCTION event_store.append_events;

CREATE TYPE event_store.command AS (
    account text,
    livemode boolean,
    stream text,
    expected_version integer,
    event_id text,
    type text,
    schema_version smallint,
    payload json,
    state json,
    metadata json,
    prefix text,
    idempotency_key text,
    fingerprint bytea,
    request_id text,
    answer text,
    new_data_key bytea
);

CREATE FUNCTION event_store.append_events(
    commands event_store.command[]
) RETURNS TABLE (item bigint, outcome text, "position" bigint, version integer, holder text,
                 request_id text, fingerprint bytea, answer text, answered_stream text,
                 data_key bytea)
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
               other.stream IS NOT NULL AS has_other_key,
               used.request_id AS used_request_id,
               used.fingerprint AS used_fingerprint,
               used.answer AS used_answer,
               used.stream AS used_stream,
               used.data_key AS used_data_key
        FROM unnest(commands)
             WITH ORDINALITY AS i (account, livemode, stream, expected_version, event_id, type,
                                   schema_version, payload, state, metadata, prefix,
                                   idempotency_key, fingerprint, request_id, answer,
                                   new_data_key, item)
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
            SELECT d.stream
            FROM event_store.data_keys AS d
            WHERE d.stream = i.stream AND d.account = i.account AND d.livemode = i.livemode
              AND i.new_data_key IS NOT NULL AND i.expected_version > 0  -- else there is none yet
            LIMIT 1  -- likewise
        ) AS other ON true
        LEFT JOIN LATERAL (
            SELECT k.request_id, k.fingerprint, k.answer, k.stream, d.wrapped AS data_key
            FROM event_store.idempotency_keys AS k
            LEFT JOIN event_store.data_keys AS d
                ON d.stream = k.stream AND d.account = k.account AND d.livemode = k.livemode
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
                   AND NOT i.has_other_key
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
    ),
    keyed AS (
        INSERT INTO event_store.data_keys (account, livemode, stream, wrapped)
        SELECT j.account, j.livemode, j.stream, j.new_data_key
        FROM judged AS j
        WHERE j.is_good AND j.new_data_key IS NOT NULL
          AND j.type IS DISTINCT FROM 'CustomerErased'
    ),
    erased AS (
        INSERT INTO event_store.data_keys AS k (
            account, livemode, stream, wrapped, erased_position)
        SELECT j.account, j.livemode, j.stream, '', j.position
        FROM judged AS j
        WHERE j.is_good AND j.type = 'CustomerErased'
        ON CONFLICT ON CONSTRAINT data_keys_pkey DO UPDATE
        SET wrapped = excluded.wrapped, erased_position = excluded.erased_position
        WHERE k.erased_position IS NULL
    )
    SELECT a.item,
           CASE WHEN a.position IS NOT NULL THEN 'appended'
                WHEN a.is_kept THEN 'kept'
                WHEN a.used_request_id IS NOT NULL THEN 'answered'
                WHEN a.current_version <> a.expected_version OR a.has_other_key THEN 'conflict'
                ELSE 'prefix_taken' END,
           a.position,
           CASE WHEN a.position IS NULL THEN a.current_version ELSE a.expected_version + 1 END,
           a.prefix_holder,
           CASE WHEN a.is_answered THEN a.used_request_id END,
           CASE WHEN a.is_answered THEN a.used_fingerprint END,
           CASE WHEN a.is_answered THEN a.used_answer END,
           CASE WHEN a.is_answered THEN a.used_stream END,
           CASE WHEN a.is_answered THEN a.used_data_key END
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
               s.used_fingerprint, s.used_answer, s.used_stream, s.used_data_key,
               s.current_version, s.expected_version, s.prefix_holder, s.has_other_key,
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

REVOKE ALL ON FUNCTION event_store.append_events FROM PUBLIC;
REVOKE ALL ON FUNCTION event_store.admit_master_key FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_store.append_events TO chaching_gateway;
GRANT EXECUTE ON FUNCTION event_store.admit_master_key TO chaching_gateway;
GRANT SELECT, UPDATE ON event_store.broker_purge TO chaching_relay;
GRANT SELECT ON event_store.data_keys, event_store.master_keys
    TO chaching_gateway, chaching_relay, chaching_projector;
