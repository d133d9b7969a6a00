"""Compares the read model with a fresh fold of the log, and the states beside the events too."""
