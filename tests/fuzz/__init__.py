"""Inputs that nobody means well, and what must hold for every one of them."""
