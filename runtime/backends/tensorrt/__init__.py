"""The TensorRT backend: library, CUDA, engines."""
