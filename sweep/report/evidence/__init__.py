"""What the evidence supports: claims, each with tests that are fixed here before any data is seen.

`estimate` is the statistics of one difference, `contrast` a difference that a claim predicts, `claim` what
several of them make of a claim; `depth`, `tradeoff` and `border` say what is compared. Nothing here knows
Optuna or MLflow: trials in, claims out.
"""

from sweep.report.evidence.claim import Claim, Verdict
from sweep.report.evidence.claims import NO_CLAIM, Evidence, claims

__all__ = ["NO_CLAIM", "Claim", "Evidence", "Verdict", "claims"]
