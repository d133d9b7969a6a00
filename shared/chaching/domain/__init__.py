"""The pure middle: what a customer is, which commands it takes, which facts follow.

Nothing here awaits, reads a clock, draws a random number, makes an id or knows of HTTP.
"""
