"""MLflow: what a run holds, written to a journal on disk first and sent when the store is there."""
