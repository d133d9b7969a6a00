"""What the gateway, the relay and the projector must agree on: facts, log, broker, schema."""
