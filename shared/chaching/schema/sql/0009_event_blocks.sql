-- Finds the events of one account, mode and type without reading the log through, at no cost to the
-- append.

-- A block is a thousand positions side by side: block n has those from 1000 n + 1 to 1000 n + 1000.
-- Once the head has passed its end a block cannot change any more. Then it is sealed: it gets a row
-- for each account, mode and type that has events in it. offsets: which of the thousand these are,
-- from 1 to 1000, in order. What lies beyond the sealed blocks is looked at in the log itself. All of
-- it can be made from the log anew.
CREATE TABLE event_store.event_blocks (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    type text COLLATE "C" NOT NULL,
    block bigint NOT NULL,
    offsets smallint[] NOT NULL,
    CONSTRAINT event_blocks_pkey PRIMARY KEY (account, livemode, type, block)
);

-- two thousand bytes at most: in its row, and as it is
ALTER TABLE event_store.event_blocks ALTER COLUMN offsets SET STORAGE PLAIN;

-- One row: up to which position blocks are sealed.
CREATE TABLE event_store.seal (
    singleton boolean NOT NULL DEFAULT true,
    position bigint NOT NULL,
    CONSTRAINT seal_pkey PRIMARY KEY (singleton),
    CONSTRAINT seal_is_one_row CHECK (singleton),
    CONSTRAINT seal_position_ends_a_block CHECK (position >= 0 AND position % 1000 = 0)
) WITH (fillfactor = 10);

INSERT INTO event_store.seal (position) VALUES (0);

-- Seals at most so many blocks, the oldest first, and says how many they were. Callers at the same
-- time take turns; when there is nothing to seal, nobody waits and nothing is written.
CREATE FUNCTION event_store.seal_blocks(at_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    complete bigint;
    sealed bigint;
    up_to bigint;
BEGIN
    SELECT h.position / 1000 * 1000, s.position INTO STRICT complete, sealed
    FROM event_store.log_head AS h
    CROSS JOIN event_store.seal AS s;
    IF sealed >= complete THEN
        RETURN 0;
    END IF;

    SELECT s.position INTO STRICT sealed FROM event_store.seal AS s FOR UPDATE;
    up_to := least(complete, sealed + at_most * 1000::bigint);
    IF sealed >= up_to THEN
        RETURN 0;
    END IF;

    INSERT INTO event_store.event_blocks (account, livemode, type, block, offsets)
    SELECT e.account, e.livemode, e.type, (e.position - 1) / 1000,
           array_agg(((e.position - 1) % 1000 + 1)::smallint ORDER BY e.position)
    FROM event_store.events AS e
    WHERE e.position > sealed AND e.position <= up_to
    GROUP BY e.account, e.livemode, e.type, (e.position - 1) / 1000;

    UPDATE event_store.seal SET position = up_to;
    RETURN (up_to - sealed) / 1000;
END
$$;

-- The ids of events tell where these stand, except those of earlier versions and those of customers
-- whose id was chosen by a caller. Only these, which are shorter, are looked for by id.
CREATE INDEX IF NOT EXISTS events_event_id_idx ON event_store.events (event_id)
    WHERE octet_length(event_id) < 26;

REVOKE ALL ON FUNCTION event_store.seal_blocks FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_store.seal_blocks TO chaching_gateway;
GRANT SELECT ON event_store.event_blocks, event_store.seal TO chaching_gateway;
