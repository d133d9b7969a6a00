-- What searches are answered from: one entry a customer who is not deleted. It is made from
-- read_model.customers and has a checkpoint of its own, which begins at 0: on a database in use every
-- customer of the log gets an entry, and until then searches say how far behind they are.

-- email, name, phone and the values of metadata are folded; terms is made from them, see
-- chaching.domain.search_terms. The key reads an account from the newest customer to the oldest.
CREATE TABLE read_model.search_entries (
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    created bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    email text COLLATE "C",
    name text COLLATE "C",
    phone text COLLATE "C",
    metadata jsonb NOT NULL,
    terms bigint[] NOT NULL,
    CONSTRAINT search_entries_pkey PRIMARY KEY (account, livemode, created, id)
);

-- With fewer, the planner takes a term that one customer has for one that thousands have.
ALTER TABLE read_model.search_entries ALTER COLUMN terms SET STATISTICS 1000;

-- Every search reads the list of pending terms through, so it is kept short.
CREATE INDEX search_entries_terms ON read_model.search_entries USING gin (terms)
    WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- Customers whose row changed without an event at the same time: what was parked and is no more.
CREATE TABLE read_model.search_renewals (
    renewal bigint GENERATED ALWAYS AS IDENTITY,
    account text COLLATE "C" NOT NULL,
    livemode boolean NOT NULL,
    id text COLLATE "C" NOT NULL,
    CONSTRAINT search_renewals_pkey PRIMARY KEY (renewal)
);

INSERT INTO event_store.checkpoints (name) VALUES ('projection.search');

GRANT SELECT ON read_model.search_entries TO chaching_gateway;
-- Since when a customer is parked: searches count what they do not know of it.
GRANT SELECT (first_version) ON read_model.parked_streams TO chaching_gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON read_model.search_entries TO chaching_projector;
GRANT SELECT, INSERT, DELETE ON read_model.search_renewals TO chaching_projector;
