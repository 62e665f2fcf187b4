"""Plugging into engines that serve many cameras and parts: what they run is `regad.runtime`, unchanged."""
