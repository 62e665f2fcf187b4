"""The devices: one protocol, one table, one module each."""
