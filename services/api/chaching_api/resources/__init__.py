"""One module for each HTTP resource."""
