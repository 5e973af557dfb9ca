"""What judging a claim gives: a verdict with its reason, and what was found of each contrast."""

from dataclasses import dataclass
from typing import Any, Literal

from sweep.study.claims import Claim, Contrast, Endpoint

Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; without ends where there are too few values for one."""

    estimate: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Effect:
    """The worse side against the better one, as recorded (not turned round), where every run is finite.

    kind: the ratio of geometric means, or the difference of means where a value is not positive.
    shifts: by block (or column), the log ratio or the difference in it, for a forest plot.
    interval: None where every block has a run that diverged.
    """

    kind: Literal["ratio", "difference"]
    interval: Interval | None
    shifts: dict[int, float]


@dataclass(frozen=True)
class Side:
    """Runs of a side in the blocks (or columns) at hand, and how many have no finite value: they diverged."""

    arms: tuple[str, ...]
    runs: int
    diverged: int


@dataclass(frozen=True)
class Finding:
    """One contrast of a claim, on one endpoint.

    p: of what it predicts; p_excluded: of what would contradict it, corrected for the number of contrasts.
        Each is compared with `level`; all three are None where no look was taken yet.
    win_share: the probability that a run of the worse side is worse than one of the other, ties half,
        averaged over blocks (or columns), with a 95 % interval; None without a whole block.
    """

    contrast: Contrast
    endpoint: Endpoint
    p: float | None
    p_excluded: float | None
    level: float | None
    win_share: Interval | None
    effect: Effect | None
    worse: Side
    better: Side

    @property
    def found(self) -> bool:
        """Is what it predicts shown?"""
        return self.p is not None and self.level is not None and self.p <= self.level

    @property
    def excluded(self) -> bool:
        """Is what would contradict it shown?"""
        return self.p_excluded is not None and self.level is not None and self.p_excluded <= self.level


@dataclass(frozen=True)
class Judged:
    """A claim on one of its endpoints.

    why: one sentence. look: blocks at the look that decided or was taken last, or None; columns have no
    looks.
    blocks: whole blocks (or columns) at hand, from the first on. next_look: so many blocks are needed for
    the next look; None where the claim is decided, was looked at for the last time, or is of columns.
    missing: arm and block (or column) that the next look needs and that has no value, where later ones are
    there.
    """

    claim: Claim
    endpoint: Endpoint
    verdict: Verdict
    why: str
    look: int | None
    blocks: int
    next_look: int | None
    missing: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; contrasts and endpoints by their names."""
        return {
            "claim": self.claim.key,
            "title": self.claim.title,
            "statement": self.claim.statement,
            "endpoint": self.endpoint.key,
            "verdict": self.verdict,
            "why": self.why,
            "paired": self.claim.paired,
            "look": self.look,
            "blocks": self.blocks,
            "next_look": self.next_look,
            "missing": [{"arm": arm, self.claim.paired: place} for arm, place in self.missing],
            "findings": [_finding(finding) for finding in self.findings],
        }


def _finding(finding: Finding) -> dict[str, Any]:
    effect = finding.effect
    return {
        "endpoint": finding.endpoint.key,
        "not_better": finding.contrast.not_better,
        "margin": finding.contrast.margin,
        "p": finding.p,
        "p_excluded": finding.p_excluded,
        "level": finding.level,
        "found": finding.found,
        "excluded": finding.excluded,
        "win_share": _interval(finding.win_share),
        "effect": effect
        and {"kind": effect.kind, "interval": _interval(effect.interval), "shifts": effect.shifts},
        "worse": {**vars(finding.worse), "arms": list(finding.worse.arms)},
        "better": {**vars(finding.better), "arms": list(finding.better.arms)},
    }


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    return dict(vars(interval)) if interval else None
