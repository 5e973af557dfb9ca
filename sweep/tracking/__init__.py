"""Recording runs: written to a journal on disk first, and sent to a tracker while it answers."""
