-- What makes a change to the log evident: the hashes of its events, their Merkle tree, and checkpoints
-- of it that are signed. All of it is only ever added to, by the auditor alone.

CREATE SCHEMA audit;
REVOKE ALL ON SCHEMA audit FROM PUBLIC;

-- Events side by side that were hashed in one step, from first_position on: leaf_hashes are 32 bytes
-- an event, chain_hash is the link of the last one. format: how the events were encoded.
CREATE TABLE audit.runs (
    first_position bigint NOT NULL,
    format smallint NOT NULL,
    leaf_hashes bytea NOT NULL,
    chain_hash bytea NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (first_position),
    CONSTRAINT runs_first_position_is_positive CHECK (first_position > 0),
    CONSTRAINT runs_leaf_hashes_are_sha256
        CHECK (octet_length(leaf_hashes) BETWEEN 32 AND 32768 AND octet_length(leaf_hashes) % 32 = 0),
    CONSTRAINT runs_chain_hash_is_sha256 CHECK (octet_length(chain_hash) = 32)
);

-- Hashes cannot be compressed, and proofs read slices of them.
ALTER TABLE audit.runs ALTER COLUMN leaf_hashes SET STORAGE EXTERNAL;

-- The complete subtrees over 256 leaves and more: each over 2 to the level leaves; the numbers of a
-- level count from 0. Smaller ones are computed from the leaves.
CREATE TABLE audit.nodes (
    level smallint NOT NULL,
    number bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT nodes_pkey PRIMARY KEY (level, number),
    CONSTRAINT nodes_level_is_of_a_block CHECK (level BETWEEN 8 AND 62),
    CONSTRAINT nodes_hash_is_sha256 CHECK (octet_length(hash) = 32)
);

-- note: the signed checkpoint as it may be kept elsewhere. number: 1, 2, 3 … without gaps.
CREATE TABLE audit.signed_checkpoints (
    number bigint NOT NULL,
    size bigint NOT NULL,
    root_hash bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT signed_checkpoints_pkey PRIMARY KEY (number),
    CONSTRAINT signed_checkpoints_size_is_natural CHECK (size >= 0),
    CONSTRAINT signed_checkpoints_root_is_sha256 CHECK (octet_length(root_hash) = 32)
);

CREATE TRIGGER runs_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.runs
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_change();

CREATE TRIGGER nodes_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.nodes
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_change();

CREATE TRIGGER signed_checkpoints_refuse_change
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.signed_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_change();

INSERT INTO event_store.checkpoints (name) VALUES ('audit');

DO $$
BEGIN
    CREATE ROLE chaching_auditor LOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

GRANT USAGE ON SCHEMA event_store, audit, schema_history TO chaching_auditor;
GRANT SELECT ON event_store.log_head, event_store.events, schema_history.migrations
    TO chaching_auditor;
GRANT SELECT, UPDATE ON event_store.checkpoints TO chaching_auditor;
CREATE POLICY checkpoints_of_the_auditor ON event_store.checkpoints
    FOR UPDATE TO chaching_auditor USING (name = 'audit');
GRANT SELECT, INSERT ON audit.runs, audit.nodes, audit.signed_checkpoints TO chaching_auditor;

-- The gateway answers proofs from them.
GRANT USAGE ON SCHEMA audit TO chaching_gateway;
GRANT SELECT ON audit.runs, audit.nodes, audit.signed_checkpoints TO chaching_gateway;
