"""The gateway that takes commands and answers retrieves, and the relay from log to broker."""
