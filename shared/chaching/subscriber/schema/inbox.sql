-- The inbox of subscribers, in a database of theirs. Everything may be there already.

CREATE SCHEMA IF NOT EXISTS chaching_inbox;

-- One row a subscriber: where it stands, who may move it, and what it is trying.
CREATE TABLE IF NOT EXISTS chaching_inbox.subscribers (
    name text NOT NULL,
    log_id text,
    position bigint NOT NULL DEFAULT 0,
    event_time timestamptz,
    epoch bigint NOT NULL DEFAULT 0,
    holder text,
    renewed_at timestamptz NOT NULL DEFAULT '-infinity',
    trying bigint NOT NULL DEFAULT 0,
    tries integer NOT NULL DEFAULT 0,
    CONSTRAINT subscribers_pkey PRIMARY KEY (name)
);

-- One row for each event in a parked queue; the events themselves stand there.
CREATE TABLE IF NOT EXISTS chaching_inbox.parked_events (
    name text NOT NULL,
    position bigint NOT NULL,
    account text NOT NULL,
    livemode boolean NOT NULL,
    customer_id text NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT parked_events_pkey PRIMARY KEY (name, position),
    CONSTRAINT parked_events_subscriber_fkey FOREIGN KEY (name)
        REFERENCES chaching_inbox.subscribers (name) ON DELETE CASCADE
);
