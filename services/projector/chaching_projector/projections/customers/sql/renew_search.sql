-- purpose: let the entry of a customer for searches be made anew, whose row changed without an event
-- parameters: $1 text account, $2 boolean livemode, $3 text id
-- result: rows touched
INSERT INTO read_model.search_renewals (account, livemode, id)
VALUES ($1, $2, $3)
