"""What a home holds: the folder, the trials in Optuna, checkpoints, and typed views of them."""
