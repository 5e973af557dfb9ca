"""The claims of a study as the report shows them, whichever way they were judged."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.evidence.finding import Finding, Judged
from sweep.evidence.judge import BlockValues
from sweep.evidence.sensitivity import arm_sensitivities
from sweep.evidence.sentences import contrast_name, disagreement
from sweep.evidence.values import block_values, chosen, endpoints_of
from sweep.evidence.verdicts import verdicts
from sweep.report.figures.forest import Block, Lost, Row
from sweep.report.methods import RULE as METHODS_RULE
from sweep.report.methods import Claim, compares_methods, one_run_claims
from sweep.store.intervals import mean_interval
from sweep.store.trials import LR, TrialView
from sweep.study import Plan

PREDICTS = (
    "A claim predicts differences between arms. It is supported where all that it predicts is found, "
    "contradicted where even a difference of its margin is excluded. Claims and levels were fixed before the "
    "data."
)
IN_BLOCKS = (
    "In a block, a seed of the run with one of the split, every arm tunes over the same grid: it is chosen "
    "on validation tiles and valued on test tiles, and an arm whose runs all diverged has the worst value. "
    "Labels are permuted within blocks, and looked at after 6, 9, 13 and 20 blocks, at levels that add up to "
    ".05."
)
IN_COLUMNS = (
    "Every column of the map has several seeds at each distance below the border that was mapped, and a run "
    "that diverged has the worst value. Runs are permuted within columns, at one look and a level of .05."
)
NO_CLAIM = (
    "This study declares no claim, so none is judged here; its tables and figures describe what was found."
)


@dataclass(frozen=True)
class ShownClaim:
    """key: in the page, the JSON and the tags of the run; one claim has one for each of its endpoints.

    note: where the claim's endpoints disagree, a sentence. judged, tested: what stands behind it, one of two.
    """

    key: str
    title: str
    statement: str
    verdict: str
    why: str
    note: str = ""
    judged: Judged | None = None
    tested: Claim | None = None

    def as_dict(self) -> dict[str, Any]:
        if self.tested is not None:
            return self.tested.as_dict()
        assert self.judged is not None
        return {**self.judged.as_dict(), "key": self.key, "title": self.title, "note": self.note}


@dataclass(frozen=True)
class ArmRow:
    """An arm over its blocks: how many, in how many every run diverged, how often each rate was chosen.

    means: by endpoint the mean (geometric where all are positive) with the ends of its 95 % interval.
    sensitivity: of the loss to the learning rate over the grid, as a share of the best
    (`sweep.evidence.sensitivity`), with the same interval.
    """

    arm: str
    blocks: int
    diverged: int
    rates: str
    means: Mapping[str, tuple[float, float, float] | None]
    sensitivity: tuple[float, float, float] | None = None


def shown_claims(plan: Plan | None, trials: Sequence[TrialView]) -> list[ShownClaim]:
    if plan is not None and compares_methods(plan):
        return [
            ShownClaim(c.key, c.title, c.statement, c.verdict, c.why, tested=c)
            for c in one_run_claims(trials)
        ]
    judged = verdicts(plan, trials)
    notes = {each.claim.key: disagreement(o for o in judged if o.claim == each.claim) for each in judged}
    return [
        ShownClaim(
            key=_key(each),
            title=f"{each.claim.title} ({each.endpoint.title})",
            statement=each.claim.statement,
            verdict=each.verdict,
            why=each.why,
            note=notes[each.claim.key] or "",
            judged=each,
        )
        for each in judged
    ]


def rule_for(claims: Sequence[ShownClaim]) -> str:
    if not claims:
        return NO_CLAIM
    if claims[0].tested is not None:
        return METHODS_RULE
    ways = {claim.judged.claim.paired for claim in claims if claim.judged is not None}
    shown = [words for way, words in (("block", IN_BLOCKS), ("column", IN_COLUMNS)) if way in ways]
    return " ".join([PREDICTS, *shown])


def _key(judged: Judged) -> str:
    if len(judged.claim.endpoints) == 1:
        return judged.claim.key
    return f"{judged.claim.key}.{re.sub(r'[^a-z0-9]+', '_', judged.endpoint.key.lower())}"


def arm_rows(plan: Plan | None, trials: Sequence[TrialView]) -> list[ArmRow]:
    """Empty where the study has no block that an arm has finished."""
    if plan is None or plan.blocks is None:
        return []
    values, stands = block_values(plan.claims, trials), chosen(trials)
    sensitive = {row.arm: row.relative for row in arm_sensitivities(plan, trials)}
    rows = []
    for arm in plan.block_arms():
        mine = [choice for (name, _), choice in sorted(stands.items()) if name == arm.name]
        rates = [choice.run.lr for choice in mine if choice.run is not None and choice.run.lr is not None]
        counts = [f"{rate:g} ({rates.count(rate)})" for rate in sorted(set(rates))]
        rows.append(
            ArmRow(
                arm.name,
                len(mine),
                sum(choice.run is None for choice in mine),
                ", ".join(counts) if len({LR} & set(plan.blocks.grid)) else "",
                {e.title: _mean(values[e.key].get(arm.name, {})) for e in endpoints_of(plan.claims)},
                sensitive.get(arm.name),
            )
        )
    return rows if any(row.blocks for row in rows) else []


def _mean(blocks: Mapping[int, float]) -> tuple[float, float, float] | None:
    finite = [value for value in blocks.values() if math.isfinite(value)]
    logs = all(value > 0 for value in finite)
    spread = mean_interval([math.log(value) for value in finite] if logs else finite)
    if spread is None:
        return None
    mean, low, high = (math.exp(value) for value in spread) if logs else spread
    return mean, low, high


def forest_rows(plan: Plan | None, trials: Sequence[TrialView], claims: Sequence[ShownClaim]) -> list[Row]:
    """Every contrast of the claims that are judged by blocks, and whose effect is a ratio."""
    if plan is None or plan.blocks is None:
        return []
    values = block_values(plan.claims, trials)
    return [
        _row(claim.judged, finding, values)
        for claim in claims
        if claim.judged is not None and claim.judged.claim.paired == "block"
        for finding in claim.judged.findings
        if finding.effect is not None and finding.effect.kind == "ratio"
    ]


def _row(judged: Judged, finding: Finding, values: BlockValues) -> Row:
    assert finding.effect is not None
    interval, shifts = finding.effect.interval, finding.effect.shifts
    logs = [None if v is None else math.log(v) for v in vars(interval).values()] if interval else [None] * 3
    return Row(
        label=f"{contrast_name(finding)}, {finding.endpoint.title}",
        blocks=[
            Block(f"block {block}", shifts.get(block), _lost(finding, values, block))
            for block in range(judged.blocks)
        ],
        summary=logs[0],
        low=logs[1],
        high=logs[2],
        verdict=judged.verdict,
    )


def _lost(finding: Finding, values: BlockValues, block: int) -> Lost:
    """Why a block has no ratio: a run of the first side diverged, of the second, or of both."""
    runs = values.get(finding.endpoint.key, {})
    worse, better = (
        any(math.isinf(runs.get(arm, {}).get(block, 0.0)) for arm in side.arms)
        for side in (finding.worse, finding.better)
    )
    return "both" if worse and better else "above" if worse else "below" if better else "missing"
