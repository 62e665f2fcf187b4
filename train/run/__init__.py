"""A training run: configuration, loop, steps, state, log."""
