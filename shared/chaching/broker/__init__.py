"""Events on RabbitMQ: what a message is, where it goes, how it is published and consumed."""
