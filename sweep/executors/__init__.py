"""Where supervised workers run, other than on this machine."""
