"""The read model that retrieves are served from: one row a customer."""
