"""A difference that a claim predicts, and what the runs say of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sweep.report.methods.estimate import ALPHA, Estimate, paired, welch
from sweep.store.intervals import MIN_SEEDS
from sweep.store.trials import TrialView

Quantity = Callable[[TrialView], float | None]

POWER = 0.8
"""With which a whole claim should be seen; each of its contrasts then needs a little more."""
SMALLEST = math.log(1.05)
"""The smallest effect of interest: 5 %. It is about what the spread over seeds lets five of them see, and
half of what the objective differs by between a depth of 4 and of 8 in the laptop setting."""


@dataclass(frozen=True)
class Sample:
    """One side of a contrast: natural logarithms by seed, the mean over the side's arms.

    A seed counts where every arm has a value. lost: runs that diverged and so have no value.
    """

    label: str
    values: Mapping[int, float]
    runs: int
    lost: int


def sample(label: str, arms: Sequence[Sequence[TrialView]], quantity: Quantity) -> Sample:
    sides = [
        {r.seed: v for r in arm if r.seed is not None and (v := quantity(r)) is not None} for arm in arms
    ]
    shared = set.intersection(*(set(side) for side in sides)) if sides else set()
    values = {seed: sum(math.log(side[seed]) for side in sides) / len(sides) for seed in sorted(shared)}
    runs = [record for arm in arms for record in arm]
    return Sample(label, values, len(runs), sum(record.diverged for record in runs))


@dataclass(frozen=True)
class Contrast:
    """The claim predicts `higher` to lie above `lower`, by `smallest` (a logarithm) or more.

    paired: the two sides share seeds and all settings but one, so a seed's noise is in both.
    """

    quantity: str
    higher: Sample
    lower: Sample
    paired: bool = False
    smallest: float = SMALLEST

    @property
    def statement(self) -> str:
        return f"{self.quantity} of {self.higher.label} is above that of {self.lower.label}"

    def estimate(self) -> Estimate | None:
        """None where fewer than three seeds a side have a value."""
        if self.paired:
            return paired(self.higher.values, self.lower.values)
        return welch(list(self.higher.values.values()), list(self.lower.values.values()))


@dataclass(frozen=True)
class ContrastResult:
    """What was found for one contrast. Effects are ratios, higher over lower; 1.05 is 5 % more.

    p: Holm-adjusted, of "no difference". p_excluded: Holm-adjusted, of "as large as claimed or larger".
    detectable: the smallest effect that these seeds see with a power of .8 for the whole claim; none smaller
        than the smallest of interest is given. seeds_needed: a side, to tell that one from no effect.
    """

    contrast: Contrast
    verdict: str
    why: str
    test: str
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_excluded: float | None = None
    detectable: float | None = None
    seeds: int = 0
    seeds_needed: int | None = None


def judge(contrast: Contrast, p: float, p_excluded: float, family: int) -> ContrastResult:
    """The finding of a contrast that has an estimate, by the adjusted p of its family of so many."""
    estimate = contrast.estimate()
    assert estimate is not None
    verdict, why = _verdict(contrast, estimate, p, p_excluded)
    alpha, power = ALPHA / family, POWER ** (1 / family)
    low, high = (math.exp(end) for end in estimate.interval)
    return ContrastResult(
        contrast,
        verdict,
        why,
        test=_test(contrast),
        ratio=math.exp(estimate.difference),
        low=low,
        high=high,
        p=p,
        p_excluded=p_excluded,
        detectable=math.exp(max(estimate.detectable(alpha, power), contrast.smallest)),
        seeds=estimate.seeds,
        seeds_needed=estimate.seeds_needed(contrast.smallest, alpha, power),
    )


def untested(contrast: Contrast) -> ContrastResult:
    """The finding where too few seeds have a value."""
    seeds = min(len(contrast.higher.values), len(contrast.lower.values))
    lost = contrast.higher.lost + contrast.lower.lost
    why = f"{seeds} seeds have a value on both sides; a test needs {MIN_SEEDS}"
    if lost:
        why += f" ({lost} of {contrast.higher.runs + contrast.lower.runs} runs diverged)"
    return ContrastResult(contrast, "inconclusive", why, _test(contrast), seeds=seeds)


def _verdict(contrast: Contrast, estimate: Estimate, p: float, p_excluded: float) -> tuple[str, str]:
    """A run that diverged has no objective, so leaving it out flatters its side: such a gap never decides
    in that side's favour."""
    smallest = f"{100 * math.expm1(contrast.smallest):.0f} %"
    found = p <= ALPHA and estimate.difference > 0
    verdict, flattered = "inconclusive", None
    why = f"neither no difference nor one of {smallest} is excluded"
    if p_excluded <= ALPHA:
        verdict, flattered = "contradicted", contrast.higher
        if found:
            why = f"there is a difference, but one of {smallest} or more is excluded"
        elif p <= ALPHA:
            why = "the difference goes the other way"
        else:
            why = f"a difference of {smallest} or more is excluded"
    elif found:
        verdict, flattered, why = "supported", contrast.lower, "the difference is there"
    if flattered and flattered.lost:
        return "inconclusive", _gap(flattered)
    return verdict, why


def _gap(side: Sample) -> str:
    return (
        f"{side.lost} of {side.runs} runs of {side.label} diverged, and leaving them out flatters that side"
    )


def _test(contrast: Contrast) -> str:
    kind = "paired t by seed" if contrast.paired else "Welch's t"
    return f"{kind} on the log {contrast.quantity}, Holm-adjusted"
