-- What lists of the past walk beside the living customers on no test clock: everybody else.
--
-- A list as of an earlier moment shows customers that were deleted since, and those who stood on
-- another clock then. Together with customers_created_idx, whose key begins with the clock, this
-- index has every customer in order of creation. An ordinary create or update does not touch it.

CREATE INDEX customers_past_idx ON read_model.customers (account, livemode, created, id)
    WHERE deleted OR test_clock IS NOT NULL;
