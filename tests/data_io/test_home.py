"""There is one way to find the home."""

from pathlib import Path

import pytest

from data_io import DataError
from data_io.__main__ import default_cache
from data_io.home import find_home


@pytest.mark.parametrize(
    ("named", "expected"),
    [(None, "here/mlruns"), ("", "here/mlruns"), ("runs", "here/runs"), ("~/runs", "me/runs"), ("~", "me")],
)
def test_the_home_is_absolute_and_a_tilde_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, expected: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.delenv("SWEEP_HOME", raising=False)
    if named is not None:
        monkeypatch.setenv("SWEEP_HOME", named)
    assert find_home() == tmp_path / expected
    assert default_cache() == tmp_path / expected / "cache"


def test_a_home_of_nobody_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_HOME", "~nobody-has-this-name/runs")
    with pytest.raises(
        DataError, match=r"SWEEP_HOME=~nobody-has-this-name/runs is not known: name the folder"
    ):
        find_home()
