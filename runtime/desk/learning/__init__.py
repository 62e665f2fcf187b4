"""What people learn from the line at the desk: review, thresholds, proposals, drift, challenges. It reads the trace."""
