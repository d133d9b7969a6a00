-- Three roles, each with only the rights it needs. They log in once they are given a password.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['chaching_gateway', 'chaching_relay', 'chaching_projector'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA event_store TO chaching_gateway, chaching_relay, chaching_projector;
GRANT USAGE ON SCHEMA read_model TO chaching_gateway, chaching_projector;

GRANT SELECT ON event_store.log_head, event_store.events
    TO chaching_gateway, chaching_relay, chaching_projector;
GRANT SELECT ON event_store.api_keys, event_store.checkpoints TO chaching_gateway;
GRANT SELECT ON read_model.customers TO chaching_gateway;
REVOKE ALL ON FUNCTION event_store.append_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION event_store.append_events TO chaching_gateway;

GRANT SELECT, UPDATE ON event_store.checkpoints TO chaching_relay, chaching_projector;
ALTER TABLE event_store.checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY checkpoints_are_readable ON event_store.checkpoints FOR SELECT USING (true);
CREATE POLICY checkpoints_of_the_relay ON event_store.checkpoints
    FOR UPDATE TO chaching_relay USING (name = 'relay');
CREATE POLICY checkpoints_of_the_projector ON event_store.checkpoints
    FOR UPDATE TO chaching_projector USING (name LIKE 'projection.%');

GRANT SELECT, INSERT, UPDATE ON read_model.customers TO chaching_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON read_model.parked_streams TO chaching_projector;

-- The readiness probe compares what is applied with what the code brings.
GRANT USAGE ON SCHEMA schema_history TO chaching_gateway, chaching_relay, chaching_projector;
GRANT SELECT ON schema_history.migrations TO chaching_gateway, chaching_relay, chaching_projector;
