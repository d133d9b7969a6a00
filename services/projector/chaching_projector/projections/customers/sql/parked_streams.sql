-- purpose: the streams that wait, the oldest first
-- parameters: none
-- result: account text, livemode boolean, id text, first_version integer, first_position bigint,
--   reason text
SELECT account, livemode, id, first_version, first_position, reason
FROM read_model.parked_streams
ORDER BY first_position
