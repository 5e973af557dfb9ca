"""The report of a study: what was searched, what the evidence supports, and the figures.

`gather` reads the stores once, `evidence` judges the claims, `figures` draws, `page` puts all into one HTML
file, `publish` shows it in MLflow and in the Optuna dashboard.
"""

from sweep.report.write import write_report

__all__ = ["write_report"]
