"""The local set-up: private servers and the whole service on one machine, with one command."""
