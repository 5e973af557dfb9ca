"""A forest plot of blocks."""

import json
import math

import pytest

from sweep.report.figures.forest import Block, Row, forest

WORDS = {"above": "1 with one side diverged", "both": "1 with both diverged", "missing": "1 missing"}


def row(blocks: int = 3, **more: object) -> Row:
    found = tuple(Block(f"seed {k}", 0.05 * (k + 1)) for k in range(blocks))
    return Row(**{"label": "a claim: one against another", "blocks": found} | more)  # type: ignore[arg-type]


@pytest.mark.parametrize("blocks", [0, 1, 6, 20])
def test_it_is_drawn_for_any_number_of_blocks(blocks: int) -> None:
    found = forest([row(blocks, summary=0.1, low=0.02, high=0.2, verdict="supported")])
    assert found is not None
    drawn = [x for trace in found.figure.data for x in trace.x]
    assert len(drawn) == blocks + 3  # the summary, and the ends of its interval
    assert "supported, ratio 1.11 (1.02 to 1.22)" in found.finding
    low, high = (10**end for end in found.figure.layout.xaxis.range)
    assert all(low < x < high for x in drawn)


@pytest.mark.parametrize("kind", ["above", "both", "missing"])
def test_a_block_without_a_ratio_is_said_and_one_that_diverged_is_drawn(kind: str) -> None:
    blocks = (Block("seed 0", 0.1), Block("seed 1", lost=kind))  # type: ignore[arg-type]
    found = forest([row(blocks=0) if kind == "" else Row("a claim", blocks)])
    assert found is not None
    assert WORDS[kind] in found.finding
    assert sum(len(trace.x) for trace in found.figure.data) == (1 if kind == "missing" else 2)


def test_an_open_interval_ends_at_the_edge_and_its_numbers_are_json() -> None:
    found = forest([row(summary=0.1, low=-0.1, high=math.inf)])
    assert found is not None
    assert all(math.isfinite(x) for trace in found.figure.data for x in trace.x)
    assert json.loads(json.dumps(found.numbers, allow_nan=False))["rows"][0]["high"] is None
    assert "∞" in found.finding


def test_labels_are_text_and_lines_fit_a_narrow_page() -> None:
    found = forest([row(label="<b>one</b> " + "against another of them, " * 8)])
    assert found is not None
    (heading,) = [note.text for note in found.figure.layout.annotations]
    assert "&lt;b&gt;one" in heading
    assert len(heading.split("<br>")) == 2
    assert forest([]) is None
