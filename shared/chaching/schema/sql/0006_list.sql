-- What lists walk: the customers of an account and mode in order of creation, with no gap for those
-- that are deleted.
--
-- coalesce(test_clock, '') puts customers on no clock under a key of their own, so that one index
-- serves lists with and without a clock. Each ends with the order of a page, so a page is as many
-- steps along one index, wherever it begins. COLLATE "C" compares bytes, which is what exact means.
--
-- Of a deleted customer no email is left. So the statement by email need not say that it wants the
-- living ones, and cannot be planned over the other index, however few emails there were then.

ALTER TABLE read_model.customers
    ADD CONSTRAINT customers_deleted_have_no_email CHECK (NOT deleted OR email IS NULL);

CREATE INDEX customers_created_idx ON read_model.customers
    (account, livemode, coalesce(test_clock, '') COLLATE "C", created, id)
    WHERE NOT deleted;

CREATE INDEX customers_email_created_idx ON read_model.customers
    (account, livemode, email COLLATE "C", coalesce(test_clock, '') COLLATE "C", created, id)
    WHERE email IS NOT NULL;

-- Which customers wait for a repair is all that the gateway needs to know of them.
GRANT SELECT (account, livemode, id) ON read_model.parked_streams TO chaching_gateway;
