"""What every process needs to run: settings, logs, start and stop. A closed list."""
