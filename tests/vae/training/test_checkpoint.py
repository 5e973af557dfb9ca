"""A file on disk is always complete, and only plain values are read from it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from vae.training import checkpoint

STATE: dict[str, Any] = {
    "config": {"epochs": 3, "optim": {"lr": 0.1, "clip": None}},
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.zeros((), dtype=torch.int64)},
    "losses": [1.0, float("inf"), 1 / 3],
    "none": None,
}


class WritesAFile:
    """Unpickling this would create the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.marker,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a" / "b" / "state.pt"


def test_what_is_loaded_is_what_was_saved(path: Path) -> None:
    checkpoint.save(path, STATE)
    loaded = checkpoint.load(path)
    assert {k: v for k, v in loaded.items() if k != "weights"} == {
        k: v for k, v in STATE.items() if k != "weights"
    }
    for name, value in STATE["weights"].items():
        assert torch.equal(loaded["weights"][name], value)
        assert loaded["weights"][name].dtype == value.dtype
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


def test_threads_that_save_at_once_leave_a_whole_file(path: Path) -> None:
    """Two attempts at one trial may overlap in a process, where one was taken for dead."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(checkpoint.save, path, STATE | {"number": n}) for n in range(40)]:
            done.result()
    assert checkpoint.load(path)["losses"] == STATE["losses"]
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_ends_in_the_middle_leaves_the_old_file_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    checkpoint.save(path, STATE)
    written = path.read_bytes()

    def stop(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(type(error)):
        checkpoint.save(path, STATE | {"losses": [2.0]})
    assert path.read_bytes() == written
    assert [file.name for file in path.parent.iterdir()] == ["state.pt"]


def test_the_old_file_stands_until_the_new_one_is_on_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(path, {"losses": [1.0]})
    seen: list[Any] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(checkpoint.load(path)["losses"])
        sync(descriptor)

    def removed(file: Path, **_: Any) -> None:
        assert Path(file) != path, "between its removal and the new file there would be none"
        raise FileNotFoundError(file)

    monkeypatch.setattr(os, "fsync", look)
    monkeypatch.setattr(os, "unlink", removed)
    monkeypatch.setattr(os, "remove", removed)
    checkpoint.save(path, {"losses": [2.0]})
    assert seen[0] == [1.0]
    assert checkpoint.load(path)["losses"] == [2.0]


def test_a_first_save_that_fails_leaves_no_file(path: Path) -> None:
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save(path, {"function": lambda: None})
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    checkpoint.save(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        checkpoint.load(path)


def test_a_file_that_would_run_code_is_refused_and_does_not(path: Path) -> None:
    marker = path.parent.parent / "ran"
    path.parent.mkdir(parents=True)
    torch.save({"config": WritesAFile(marker)}, path)
    with pytest.raises(ValueError, match="is not a readable checkpoint"):
        checkpoint.load(path)
    assert not marker.exists()


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.parent.mkdir(parents=True)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="is not a checkpoint of this program"):
        checkpoint.load(path)


def test_a_missing_file_is_named_as_missing(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"state\.pt"):
        checkpoint.load(path)


def test_another_config_is_refused_with_each_field_that_differs(path: Path) -> None:
    checkpoint.save(path, STATE)
    checkpoint.load(path, {"epochs": 3, "optim": {"lr": 0.1, "clip": None}})
    with pytest.raises(ValueError, match=r"differ in epochs \(3 -> 4\), optim\.lr \(0\.1 -> 0\.2\)$"):
        checkpoint.load(path, {"epochs": 4, "optim": {"lr": 0.2, "clip": None}})
    with pytest.raises(ValueError, match=r"differ in new \(None -> 1\), optim\.clip \(None -> norm\)$"):
        checkpoint.load(path, {"epochs": 3, "new": 1, "optim": {"lr": 0.1, "clip": "norm"}})
