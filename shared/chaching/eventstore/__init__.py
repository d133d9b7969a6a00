"""The log in PostgreSQL: append and load in groups, follow it, lease the right to move on it."""
