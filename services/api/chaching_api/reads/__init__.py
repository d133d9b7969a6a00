"""Queries of the read model that are exact: the row, and what the log knows beyond it."""
