"""One package for each read model that is projected from the log."""
