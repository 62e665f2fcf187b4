"""NVIDIA Triton: the model repository that it serves, what runs inside it, and the check against it."""
