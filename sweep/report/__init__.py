"""The report of a study: one self-contained HTML page from what the stores hold."""

from sweep.report.page import write_report

__all__ = ["write_report"]
