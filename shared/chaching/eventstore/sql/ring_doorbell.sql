-- purpose: wake whoever follows the log
-- parameters: $1 text channel
-- result: one empty row
SELECT pg_notify($1, '')
