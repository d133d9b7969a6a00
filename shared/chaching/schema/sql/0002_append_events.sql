-- Appends the outcomes of a batch of commands, each on its own merits.
--
-- Under the lock of the head row every item is judged: its stream must stand at the expected
-- version and its invoice prefix, if it brings one, must be free or its own. The good ones get
-- the next positions in the order of the arrays. One refused item never fails its neighbours.
--
-- All arrays have one element an item; a stream and a prefix stand at most once in a batch.
-- A prefix, once used, belongs to its customer for good, since invoice numbers begin with it; a
-- customer that comes back to an old one of its own reserves nothing new.
-- An item whose event is already in the log (a retry after a lost connection) is answered with
-- its old position.
--
-- Result, one row an item: item (from 1), outcome ('appended' | 'conflict' | 'prefix_taken'),
-- position (when appended), version (the stream's newest before this call, or of the event when
-- appended), holder (the customer that has the prefix).
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
    prefixes text[]
) RETURNS TABLE (item bigint, outcome text, "position" bigint, version integer, holder text)
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
               holding.stream AS prefix_holder
        FROM unnest(accounts, livemodes, streams, expected_versions, event_ids, types,
                    schema_versions, payloads, states, metadatas, prefixes)
             WITH ORDINALITY AS i (account, livemode, stream, expected_version, event_id, type,
                                   schema_version, payload, state, metadata, prefix, item)
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
    ),
    judged AS MATERIALIZED (
        SELECT i.*, verdict.is_good,
               head + count(*) FILTER (WHERE verdict.is_good) OVER (ORDER BY i.item) AS position
        FROM items AS i
        CROSS JOIN LATERAL (
            SELECT i.current_version = i.expected_version
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
        WHERE j.is_good
    )
    SELECT a.item,
           CASE WHEN a.position IS NOT NULL THEN 'appended'
                WHEN a.current_version <> a.expected_version THEN 'conflict'
                ELSE 'prefix_taken' END,
           a.position,
           CASE WHEN a.position IS NULL THEN a.current_version ELSE a.expected_version + 1 END,
           a.prefix_holder
    FROM (
        SELECT j.item, j.current_version, j.expected_version, j.prefix_holder,
               CASE WHEN j.is_good THEN j.position ELSE (
                   SELECT e.position
                   FROM event_store.events AS e
                   WHERE e.account = j.account AND e.livemode = j.livemode
                     AND e.stream = j.stream AND e.version = j.expected_version + 1
                     AND e.event_id = j.event_id
               ) END AS position
        FROM judged AS j
    ) AS a;

    UPDATE event_store.log_head AS h
    SET position = newest.position
    FROM (SELECT max(e.position) AS position
          FROM event_store.events AS e
          WHERE e.position > head) AS newest
    WHERE newest.position IS NOT NULL;
END
$$;
