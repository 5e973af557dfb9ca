"""A declared claim and the values at hand give its verdicts, one an endpoint."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from sweep.evidence.decide import CONTRADICTED, SUPPORTED, Decisions, decide_blocks, decide_columns, pose
from sweep.evidence.effect import Pairs, effect, share_worse
from sweep.evidence.finding import Finding, Judged, Side, Verdict
from sweep.evidence.looks import (
    COLUMNS_LEVEL,
    LEVELS,
    LOOKS,
    SEEDS_ALONE,
    SEEDS_IN_STRATA,
    STRATA,
    next_look,
)
from sweep.evidence.sentences import because, side_name
from sweep.study.claims import Claim, Contrast, Endpoint

Array = NDArray[np.float64]
BlockValues = Mapping[str, Mapping[str, Mapping[int, float]]]
"""values[endpoint's key][arm][block, from 0 on]: one run. What is not finite diverged, whatever the
direction, and what is absent was not run or crashed."""
ColumnValues = Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]
"""values[endpoint's key][arm][column]: runs with several seeds."""

_VERDICTS: dict[int, Verdict] = {SUPPORTED: "supported", CONTRADICTED: "contradicted"}


def judge_blocks(claim: Claim, values: BlockValues, most: int = LOOKS[-1]) -> tuple[Judged, ...]:
    """One verdict for each endpoint of a claim that is paired by block.

    A look takes the first blocks; one that an arm has no value in holds up the looks that need it.

    most: blocks after which there are no more, and so no further look.
    """
    assert claim.paired == "block"
    return tuple(_on_blocks(claim, endpoint, values, most) for endpoint in claim.endpoints)


def judge_columns(claim: Claim, values: ColumnValues) -> tuple[Judged, ...]:
    """One verdict for each endpoint of a claim that is paired by column, all columns with any run at once.

    The runs of a side's arms count alike. It is one look: more seeds should be asked for beforehand, not
    after.
    """
    assert claim.paired == "column"
    return tuple(_on_columns(claim, endpoint, values) for endpoint in claim.endpoints)


def blocks_wanted(judged: Iterable[Judged]) -> int | None:
    """So many blocks are needed for the next look at claims that are still open; None where none is."""
    return max((each.next_look for each in judged if each.next_look is not None), default=None)


def _on_blocks(claim: Claim, endpoint: Endpoint, values: BlockValues, most: int) -> Judged:
    tests = list(claim.on(endpoint))
    runs = {
        (on.key, arm): values.get(on.key, {}).get(arm, {})
        for contrast, on in tests
        for arm in (*contrast.worse, *contrast.better)
    }
    started = max((block + 1 for blocks in runs.values() for block in blocks), default=0)
    whole = len(list(takewhile(lambda block: all(block in has for has in runs.values()), range(started))))

    def side(arms: tuple[str, ...], on: Endpoint) -> Array:
        picked = [[runs[on.key, arm][block] for arm in arms] for block in range(whole)]
        return np.array(picked, float).reshape(whole, len(arms))

    sides = [(side(contrast.worse, on), side(contrast.better, on)) for contrast, on in tests]
    posed = [
        pose(contrast, worse[None], better[None], on.better)
        for (contrast, on), (worse, better) in zip(tests, sides, strict=True)
    ]
    decided = decide_blocks(posed)
    look = int(decided.look[0]) or None
    verdict = _VERDICTS.get(int(decided.verdict[0]), "inconclusive")
    after = next_look(whole, claim.of_pairs) if verdict == "inconclusive" and whole < most else None
    needed = range(whole, min(started, after or 0))
    missing = dict.fromkeys(
        (arm, block) for block in needed for (_, arm), has in runs.items() if block not in has
    )
    pairs = [{block: (w[block], b[block]) for block in range(whole)} for w, b in sides]
    findings = _findings(tests, pairs, decided, LEVELS[look] if look else None, paired=True)
    judged = Judged(claim, endpoint, verdict, "", look, whole, after, tuple(missing), findings)
    return because(judged)


def _on_columns(claim: Claim, endpoint: Endpoint, values: ColumnValues) -> Judged:
    tests = list(claim.on(endpoint))
    pairs = [_columns(contrast, values.get(on.key, {})) for contrast, on in tests]
    too_few = [_too_few(contrast, columns) for (contrast, _), columns in zip(tests, pairs, strict=True)]
    reason = next(filter(None, too_few), "")
    blocks = min(len(columns) for columns in pairs)
    if reason:
        findings = _findings(tests, pairs, None, None, paired=False)
        return Judged(claim, endpoint, "inconclusive", reason, None, blocks, None, (), findings)
    posed = [
        [pose(contrast, worse[None], better[None], on.better) for worse, better in columns.values()]
        for (contrast, on), columns in zip(tests, pairs, strict=True)
    ]
    decided = decide_columns(posed)
    verdict = _VERDICTS.get(int(decided.verdict[0]), "inconclusive")
    findings = _findings(tests, pairs, decided, COLUMNS_LEVEL, paired=False)
    return because(Judged(claim, endpoint, verdict, "", None, blocks, None, (), findings))


def _columns(contrast: Contrast, arms: Mapping[str, Mapping[int, Sequence[float]]]) -> Pairs:
    """Of each column in which any of its arms ran, the runs of both sides."""

    def runs(side: tuple[str, ...], column: int) -> Array:
        return np.array([value for arm in side for value in arms.get(arm, {}).get(column, ())], float)

    named = (*contrast.worse, *contrast.better)
    columns = sorted({column for arm in named for column in arms.get(arm, {})})
    return {column: (runs(contrast.worse, column), runs(contrast.better, column)) for column in columns}


def _too_few(contrast: Contrast, columns: Pairs) -> str:
    """Why these columns cannot be judged; empty where they can."""
    least = SEEDS_IN_STRATA if len(columns) >= STRATA else SEEDS_ALONE
    for column, sides in columns.items():
        for arms, runs in zip((contrast.worse, contrast.better), sides, strict=True):
            if len(runs) < least:
                number = f"{least} are needed" if len(runs) else f"none of {least}"
                had = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
                return f"{side_name(arms)} has {had} in column {column}, where {number}."
    return "" if columns else f"No run of {side_name((*contrast.worse, *contrast.better))} is at hand."


def _findings(
    tests: Sequence[tuple[Contrast, Endpoint]],
    pairs: Sequence[Pairs],
    decided: Decisions | None,
    level: float | None,
    paired: bool,
) -> tuple[Finding, ...]:
    taken = decided if level is not None else None
    return tuple(
        Finding(
            contrast,
            on,
            float(taken.p[0, index]) if taken else None,
            float(taken.p_excluded[0, index]) if taken else None,
            level,
            share_worse(these, on.better, paired) if _whole(these) else None,
            effect(these, paired) if _whole(these) else None,
            _side(contrast.worse, [worse for worse, _ in these.values()]),
            _side(contrast.better, [better for _, better in these.values()]),
        )
        for index, ((contrast, on), these) in enumerate(zip(tests, pairs, strict=True))
    )


def _whole(pairs: Pairs) -> bool:
    """Has every block (or column) runs on both sides?"""
    return bool(pairs) and all(len(side) for pair in pairs.values() for side in pair)


def _side(arms: tuple[str, ...], values: Sequence[Array]) -> Side:
    flat = [float(value) for runs in values for value in runs]
    return Side(arms, len(flat), sum(not math.isfinite(value) for value in flat))
