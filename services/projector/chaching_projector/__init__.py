"""The projector: keeps the read model equal to the fold of the log."""
