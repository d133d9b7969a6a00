-- What retrieves are served from: one row a customer, as the projector last applied it.

CREATE SCHEMA read_model;
REVOKE ALL ON SCHEMA read_model FROM PUBLIC;

-- body: the exact bytes a retrieve answers. attached: what shows only when expanded.
-- The personal columns are null once the customer is deleted.
CREATE TABLE read_model.customers (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    id text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    created bigint NOT NULL,
    deleted boolean NOT NULL,
    email text,
    name text,
    phone text,
    metadata jsonb,
    test_clock text,
    body text NOT NULL,
    attached text NOT NULL,
    CONSTRAINT customers_pkey PRIMARY KEY (account, livemode, id)
) WITH (fillfactor = 85);

-- Customers whose events cannot be applied; they wait, in order, from first_version on.
CREATE TABLE read_model.parked_streams (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    id text COLLATE "C" NOT NULL,
    first_version integer NOT NULL,
    first_position bigint NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT parked_streams_pkey PRIMARY KEY (account, livemode, id)
);
