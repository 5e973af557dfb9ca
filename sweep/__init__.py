"""Run a study: ask Optuna for settings, train a VAE, record it in MLflow, say what came of it."""
