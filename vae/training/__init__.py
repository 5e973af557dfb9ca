"""Training: one step, the state of a run, the loop over epochs, and what is found before the first step."""
