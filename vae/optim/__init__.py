"""How weights are changed: optimizers, schedules, clipping, skipping, controllers and the guard."""
