"""The training loop: one step, one epoch, one run, and what a checkpoint holds."""
