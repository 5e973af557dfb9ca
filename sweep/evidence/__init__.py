"""The statistics that judge declared claims: a claim and values give verdicts. Arrays in, no store and no
file."""

from sweep.evidence.finding import Effect, Finding, Interval, Judged, Side, Verdict
from sweep.evidence.judge import BlockValues, ColumnValues, blocks_wanted, judge_blocks, judge_columns
from sweep.evidence.looks import LEVELS, LOOKS, next_look
from sweep.evidence.sentences import contrast_name, disagreement

__all__ = [
    "LEVELS",
    "LOOKS",
    "BlockValues",
    "ColumnValues",
    "Effect",
    "Finding",
    "Interval",
    "Judged",
    "Side",
    "Verdict",
    "blocks_wanted",
    "contrast_name",
    "disagreement",
    "judge_blocks",
    "judge_columns",
    "next_look",
]
