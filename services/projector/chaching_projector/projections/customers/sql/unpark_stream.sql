-- purpose: let a stream go on
-- parameters: $1 text account, $2 boolean livemode, $3 text id
-- result: rows touched
DELETE FROM read_model.parked_streams
WHERE account = $1 AND livemode = $2 AND id = $3
