"""The distance of every position and the anomaly score: the NumPy reference and its compiled form."""
