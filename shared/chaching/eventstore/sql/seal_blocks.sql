-- purpose: index blocks of the log that cannot change any more, the oldest first
-- parameters: $1 integer how many at most
-- result: sealed integer
SELECT event_store.seal_blocks($1) AS sealed
