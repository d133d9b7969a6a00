-- purpose: give a subscriber its row, at the beginning of the log, unless it has one
-- parameters: $1 text name
-- result: rows touched
INSERT INTO chaching_inbox.subscribers (name)
VALUES ($1)
ON CONFLICT ON CONSTRAINT subscribers_pkey DO NOTHING
