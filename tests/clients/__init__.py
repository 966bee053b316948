"""Real clients against a real broker: one scenario, one checker, the SDKs of six languages."""
