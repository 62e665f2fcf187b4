"""What tells others of every part: the trace is the outbox, and each receiver has a place in it of its own."""
