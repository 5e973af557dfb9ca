"""A claim: predictions that must all hold, judged together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sweep.report.methods.contrast import SMALLEST, Contrast, ContrastResult, judge, untested
from sweep.report.methods.estimate import holm

Verdict = Literal["supported", "contradicted", "inconclusive"]
MAX_CONTRASTS = 3

_SMALLEST = f"{100 * math.expm1(SMALLEST):.0f} %"
RULE = (
    "A claim is supported where every difference that it predicts is there (two-sided p at most .05 after "
    "Holm's correction, in the predicted direction); contradicted where for one of them a difference of "
    f"{_SMALLEST} or more, the smallest that is of interest, is excluded at the same level (a "
    "smaller one may be there, or none, or the opposite); inconclusive otherwise. What is tested "
    "was fixed in code before the data."
)


@dataclass(frozen=True)
class Table:
    """Described beside a claim, and not tested."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Claim:
    """`settle`: what would decide an inconclusive claim; empty for the others."""

    key: str
    title: str
    statement: str
    verdict: Verdict
    why: str
    findings: tuple[ContrastResult, ...] = ()
    runs: int = 0
    seeds: int = 0
    settle: str = ""
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the same numbers as on the page."""
        return {
            "key": self.key,
            "title": self.title,
            "statement": self.statement,
            "verdict": self.verdict,
            "why": self.why,
            "runs": self.runs,
            "seeds": self.seeds,
            "settle": self.settle,
            "notes": list(self.notes),
            "findings": [_finding(finding) for finding in self.findings],
            "tables": [vars(table) for table in self.tables],
        }


def open_claim(key: str, title: str, statement: str, why: str, settle: str, **more: Any) -> Claim:
    """A claim that the runs at hand do not speak to."""
    return Claim(key, title, statement, "inconclusive", why, settle=settle, **more)


def decide(
    key: str,
    title: str,
    statement: str,
    contrasts: Sequence[Contrast],
    notes: Sequence[str] = (),
    tables: Sequence[Table] = (),
    more_runs: str = "",
) -> Claim:
    """Test the contrasts as one family. `more_runs` says how further seeds are run."""
    assert 0 < len(contrasts) <= MAX_CONTRASTS
    findings = _findings(contrasts)
    verdict, why = _together(findings)
    samples = {sample.label: sample for c in contrasts for sample in (c.higher, c.lower)}
    seeds = set().union(*(sample.values for sample in samples.values()))
    return Claim(
        key,
        title,
        statement,
        verdict,
        why,
        tuple(findings),
        runs=sum(sample.runs for sample in samples.values()),
        seeds=len(seeds),
        settle=_settle(findings, more_runs) if verdict == "inconclusive" else "",
        notes=tuple(notes),
        tables=tuple(tables),
    )


def _findings(contrasts: Sequence[Contrast]) -> list[ContrastResult]:
    """Tests that could not be made still count in the correction: they belong to the claim."""
    estimates = [contrast.estimate() for contrast in contrasts]
    none = holm([1.0 if e is None else e.p_none for e in estimates])
    excluded = holm(
        [1.0 if e is None else e.p_at_least(c.smallest) for e, c in zip(estimates, contrasts, strict=True)]
    )
    return [
        untested(contrast) if estimate is None else judge(contrast, p, p_excluded, len(contrasts))
        for contrast, estimate, p, p_excluded in zip(contrasts, estimates, none, excluded, strict=True)
    ]


def _together(findings: Sequence[ContrastResult]) -> tuple[Verdict, str]:
    against = [f for f in findings if f.verdict == "contradicted"]
    if against:
        return "contradicted", "; ".join(f"{f.contrast.statement}: {f.why}" for f in against)
    if all(f.verdict == "supported" for f in findings):
        return "supported", "every difference that it predicts is there"
    unsettled = [f for f in findings if f.verdict == "inconclusive"]
    return "inconclusive", "; ".join(f"{f.contrast.statement}: {f.why}" for f in unsettled)


def _settle(findings: Sequence[ContrastResult], more_runs: str) -> str:
    unsettled = [f for f in findings if f.verdict == "inconclusive"]
    gaps = [f for f in unsettled if f.contrast.higher.lost or f.contrast.lower.lost]
    if any(f.ratio is None for f in gaps):
        return f"Three seeds at least none of whose runs diverge{more_runs}; or settings at which none does."
    if any(f.ratio is None for f in unsettled):
        return f"Three seeds a side at least{more_runs}."
    smallest = f"{100 * math.expm1(unsettled[0].contrast.smallest):.0f} %"
    needs = [f.seeds_needed for f in unsettled]
    if any(need is None for need in needs):
        return f"More than a thousand seeds would tell {smallest} from nothing: the spread is too large."
    most = max(need for need in needs if need is not None)
    have = min(f.seeds for f in unsettled)
    if most > have:
        return (
            f"{most - have} more seeds a side ({most} in all) tell {smallest} from no effect with a power "
            f"of .8, at the spread that was seen{more_runs}."
        )
    if gaps:
        return "Settings at which no run diverges: a smaller learning rate in the arms that lost runs."
    return f"The effect is near {smallest} or half of it; twice the seeds ({2 * have}) narrow it{more_runs}."


def _finding(finding: ContrastResult) -> dict[str, Any]:
    contrast = finding.contrast
    return {
        "statement": contrast.statement,
        "verdict": finding.verdict,
        "why": finding.why,
        "test": finding.test,
        "quantity": contrast.quantity,
        "paired": contrast.paired,
        "ratio": finding.ratio,
        "interval_95": None if finding.low is None else [finding.low, finding.high],
        "p_holm": finding.p,
        "p_excluded_holm": finding.p_excluded,
        "smallest_of_interest": math.exp(contrast.smallest),
        "detectable": finding.detectable,
        "seeds": finding.seeds,
        "seeds_needed": finding.seeds_needed,
        "sides": [
            {"label": s.label, "runs": s.runs, "seeds": len(s.values), "diverged": s.lost}
            for s in (contrast.higher, contrast.lower)
        ],
    }
