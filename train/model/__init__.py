"""The registration encoder in PyTorch: backbone, STNs, heads, weights, checkpoint."""
