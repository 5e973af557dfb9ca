"""Claims about one run against a sweep, by t intervals over seeds: of `one_run_study` alone.

A method's setting is chosen in explored trials and repeated over fresh seeds in every cell, and a claim
compares two methods over cells. All other claims are declared by a study and judged by `sweep.evidence`.
"""

from sweep.report.methods.claim import RULE, Claim
from sweep.report.methods.one_run import compares_methods, one_run_claims

__all__ = ["RULE", "Claim", "compares_methods", "one_run_claims"]
