-- purpose: the versions at which the rows of customers stand
-- parameters: $1 text[] accounts, $2 boolean[] livemodes, $3 text[] ids; one element a customer
-- result: account text, livemode boolean, id text, version integer; nothing of who has no row
SELECT c.account, c.livemode, c.id, c.version
FROM unnest($1::text[], $2::boolean[], $3::text[]) AS k (account, livemode, id)
JOIN read_model.customers AS c
    ON c.account = k.account AND c.livemode = k.livemode AND c.id = k.id
