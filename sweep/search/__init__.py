"""Which trial comes next: a study's phases, the sampler inside them, and pruning."""
