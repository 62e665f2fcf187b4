"""Plugging into engines for many cameras, parts and machines: what they run is `regad.runtime`, unchanged."""
