"""Real clients against a real broker: one scenario, one checker, three SDKs."""
