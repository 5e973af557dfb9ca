"""The optimizer and what shapes its steps: learning-rate schedule, controllers, clipping, skipping, guard."""
