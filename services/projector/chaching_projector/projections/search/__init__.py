"""What searches are answered from: one entry a customer, which may trail the read model."""
