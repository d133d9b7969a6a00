-- purpose: tell beforehand whether this session can wrap data keys anew
-- parameters: none
-- result: may boolean
SELECT coalesce(
    has_table_privilege(to_regclass('event_store.data_keys'), 'UPDATE')
    AND has_table_privilege(to_regclass('event_store.master_keys'), 'DELETE'),
    false
) AS may
