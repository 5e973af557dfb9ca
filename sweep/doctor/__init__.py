"""Making the two stores agree after whatever happened, and checking the set-up."""

from sweep.doctor.findings import Finding, View
from sweep.doctor.reconcile import reconcile

__all__ = ["Finding", "View", "reconcile"]
