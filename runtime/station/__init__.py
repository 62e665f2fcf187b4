"""The station: a line process that proves every pass, and a trace of every part."""
