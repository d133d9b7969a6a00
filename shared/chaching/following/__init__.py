"""Follows the log without a checkpoint: feeds history to one queue, shows events as they come."""
