"""Studies from Python: run one, watch it, read its results. `sweep` exports these lazily."""
