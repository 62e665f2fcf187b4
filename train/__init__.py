"""Train the registration encoder with PyTorch, and evaluate it."""
