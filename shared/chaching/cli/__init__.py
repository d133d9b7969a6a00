"""The `chaching` command, one module for each group of commands."""
