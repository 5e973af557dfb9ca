"""Two importances, each by its name."""

import pytest

from sweep.report.figures.importance import importance
from tests.sweep.report.figures.searches import CLIP, LR, parabola


def test_both_methods_are_named_and_find_what_matters() -> None:
    trials = [*parabola(2e-3, wide=0.6), *parabola(2.1e-3, wide=0.6, first=10)]
    found = importance(trials)
    assert found is not None
    assert {"fANOVA", "PED-ANOVA"} == {trace.name for trace in found.figure.data}
    for name in ("fANOVA", "PED-ANOVA"):
        assert name in found.title
        assert name in found.caption
    shares = found.numbers["fanova"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[LR.rpartition(".")[2]] > shares[CLIP.rpartition(".")[2]]
    assert "`lr` matters most" in found.finding


def test_it_says_nothing_of_few_or_equal_trials() -> None:
    assert importance(parabola(2e-3)[:3]) is None
