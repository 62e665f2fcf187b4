"""Verified export of encoder, STN and inverse alignment to ONNX."""
