-- The log: one dense sequence of events, append-only, and what an append must check.

CREATE SCHEMA event_store;
REVOKE ALL ON SCHEMA event_store FROM PUBLIC;

-- One row: the position of the newest event. Its lock orders all appends. log_id tells this log from
-- every other one: whoever restores an old copy gives it a new one, since what follows is other.
CREATE TABLE event_store.log_head (
    singleton boolean NOT NULL DEFAULT true,
    position bigint NOT NULL,
    log_id uuid NOT NULL DEFAULT gen_random_uuid(),
    CONSTRAINT log_head_pkey PRIMARY KEY (singleton),
    CONSTRAINT log_head_is_one_row CHECK (singleton),
    CONSTRAINT log_head_position_is_natural CHECK (position >= 0)
) WITH (fillfactor = 10);

INSERT INTO event_store.log_head (position) VALUES (0);

-- payload: what changed. state: the customer after the event; null on version 1, where the fold
-- of one event is as near. Both are the exact bytes that were appended (json, not jsonb).
-- The keys of its indices begin with the column that differs soonest, which makes an append a
-- seventh cheaper than beginning with account and mode.
-- invoice_prefix: the prefix that this event takes for its customer, for good.
CREATE TABLE event_store.events (
    position bigint NOT NULL,
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    stream text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    previous_position bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema_version smallint NOT NULL,
    payload json NOT NULL,
    state json,
    metadata json NOT NULL,
    invoice_prefix text COLLATE "C",
    recorded_at timestamptz NOT NULL,
    CONSTRAINT events_pkey PRIMARY KEY (position),
    CONSTRAINT events_stream_version_key UNIQUE (stream, account, livemode, version),
    CONSTRAINT events_version_follows CHECK ((version = 1) = (previous_position = 0)),
    CONSTRAINT events_position_follows CHECK (previous_position < position)
);

CREATE UNIQUE INDEX events_invoice_prefix_key
    ON event_store.events (invoice_prefix, account, livemode)
    WHERE invoice_prefix IS NOT NULL;

CREATE FUNCTION event_store.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER events_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON event_store.events
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_change();

-- Keys have 190 random bits, or are chosen for local use; only their SHA-256 is kept.
CREATE TABLE event_store.api_keys (
    key_id text COLLATE "C" NOT NULL,
    key_hash bytea NOT NULL,
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    kind text NOT NULL,
    rights text[] NOT NULL,
    name text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (key_id),
    CONSTRAINT api_keys_key_hash_key UNIQUE (key_hash),
    CONSTRAINT api_keys_account_is_a_name CHECK (account ~ '^[A-Za-z0-9_-]{1,64}$'),
    CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(key_hash) = 32),
    CONSTRAINT api_keys_kind_is_known CHECK (kind IN ('secret', 'restricted', 'publishable'))
);

-- How far each follower of the log has come, and who may move it: a lease with a fencing epoch.
CREATE TABLE event_store.checkpoints (
    name text COLLATE "C" NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    holder text,
    renewed_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT checkpoints_pkey PRIMARY KEY (name),
    CONSTRAINT checkpoints_position_is_natural CHECK (position >= 0)
) WITH (fillfactor = 10);

INSERT INTO event_store.checkpoints (name) VALUES ('relay'), ('projection.customers');
