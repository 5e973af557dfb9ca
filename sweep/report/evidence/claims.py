"""All claims of a study, from its records."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sweep.report.bordermap import BorderMap
from sweep.report.evidence.border import border_claim
from sweep.report.evidence.claim import Claim
from sweep.report.evidence.depth import CONTROL, depth_claim, fixed_depth_claim
from sweep.report.evidence.one_run import STUDY as ONE_RUN
from sweep.report.evidence.one_run import one_run_claims
from sweep.report.evidence.tradeoff import clip_claim, decay_claim
from sweep.store.trials import Record


@dataclass(frozen=True)
class Evidence:
    """study: its declared name. factors: settings that tell its arms apart. control: the records of
    `depth_control_study` in the same store."""

    study: str
    trials: Sequence[Record]
    factors: frozenset[str] = frozenset()
    control: Sequence[Record] = ()
    border: BorderMap | None = field(default=None)


def claims(evidence: Evidence) -> list[Claim]:
    """All published ones: one that a study does not speak to says so. The study of one run has its own."""
    if evidence.study == ONE_RUN:
        return one_run_claims(evidence.trials)
    is_control = evidence.study == CONTROL
    return [
        depth_claim([] if is_control else evidence.trials, evidence.study),
        fixed_depth_claim(evidence.trials if is_control else evidence.control),
        clip_claim(evidence.trials, evidence.factors),
        decay_claim(evidence.trials, evidence.factors),
        border_claim(evidence.trials, evidence.border),
    ]
