"""Long trials: many faults at random, under load; each has a short run among the tests."""
