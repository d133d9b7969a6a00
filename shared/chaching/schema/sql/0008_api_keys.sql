-- API keys are administered: listed by what a person can recognise, rolled, revoked, never forgotten.

-- masked: the key with all but its prefix and last four characters as stars; null for older keys.
-- replaces: the key that was rolled into this one; a key is rolled once.
ALTER TABLE event_store.api_keys
    ADD COLUMN masked text,
    ADD COLUMN replaces text COLLATE "C",
    ADD CONSTRAINT api_keys_replaces_key UNIQUE (replaces),
    ADD CONSTRAINT api_keys_replaces_fkey
        FOREIGN KEY (replaces) REFERENCES event_store.api_keys (key_id),
    ADD CONSTRAINT api_keys_masked_is_short CHECK (length(masked) <= 255);

-- The gateway reads what it needs to let a caller in, and no more.
REVOKE SELECT ON event_store.api_keys FROM chaching_gateway;
GRANT SELECT
    (key_id, key_hash, account, livemode, kind, rights, name, expires_at, revoked_at)
    ON event_store.api_keys TO chaching_gateway;

-- Rows stay for those who audit: a key only ever gets an end, and a revocation is final.
CREATE FUNCTION event_store.refuse_key_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a key only ever gets an end: this % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION event_store.refuse_key_change FROM PUBLIC;

CREATE TRIGGER api_keys_refuse_deletion
    BEFORE DELETE OR TRUNCATE ON event_store.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION event_store.refuse_key_change();

CREATE TRIGGER api_keys_refuse_change
    BEFORE UPDATE ON event_store.api_keys
    FOR EACH ROW
    WHEN (
        (OLD.key_id, OLD.key_hash, OLD.account, OLD.livemode, OLD.kind, OLD.rights, OLD.name,
         OLD.created_at, OLD.masked, OLD.replaces)
        IS DISTINCT FROM
        (NEW.key_id, NEW.key_hash, NEW.account, NEW.livemode, NEW.kind, NEW.rights, NEW.name,
         NEW.created_at, NEW.masked, NEW.replaces)
        OR OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at
        OR OLD.expires_at IS NOT NULL
            AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at)
    )
    EXECUTE FUNCTION event_store.refuse_key_change();
