"""The DESK process: pages, protocols and learning beside the line. It reads the trace, sends commands, and may die."""
