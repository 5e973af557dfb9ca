"""The figures of a report, from records: plotly, every point with its trial and run."""

from sweep.report.figures.all import figures
from sweep.report.figures.style import Figure

__all__ = ["Figure", "figures"]
