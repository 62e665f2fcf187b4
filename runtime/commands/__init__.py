"""The command lines of the runtime: the roof, the only room that may use regad.calib."""
