"""There is one way to find the home, and one to see that files in it can be locked."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_io import DataError
from data_io.__main__ import default_cache
from data_io.home import find_home, lock_trouble


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


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_cache_on_a_disk_without_locks_is_refused_in_one_sentence(tmp_path: Path, code: int) -> None:
    """No lock is taken for granted: a library that falls back to files of its own is not asked."""
    assert lock_trouble(tmp_path) is None
    refuse = f"def refuse(*_): raise OSError({code}, os.strerror({code}))"
    (tmp_path / "sitecustomize.py").write_text(f"import fcntl, os\n{refuse}\nfcntl.flock = refuse\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "data_io", "prepare", "sample", "--cache", str(tmp_path / "cache")],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    reason = (
        f"does not lock files ({os.strerror(code)}): name a folder on a local disk by SWEEP_HOME or --cache"
    )
    assert reason in done.stderr
