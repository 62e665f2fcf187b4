"""The loop of a run: frame, verdict, record, pictures, window."""
