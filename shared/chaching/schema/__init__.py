"""The database schema: numbered forward-only migrations and their runner."""
