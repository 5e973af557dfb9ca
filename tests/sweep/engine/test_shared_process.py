"""What a trial runs changes nothing that the process has one of, since other trials train in it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = (
    "vae",
    "data_io/tiles",
    "data_io/images",
    "sweep/engine",
    "sweep/tracking",
    "sweep/search",
    "sweep/store",
)
SETTERS = {
    "os.chdir",
    "os.environ.pop",
    "os.environ.setdefault",
    "os.environ.update",
    "os.putenv",
    "gc.disable",
    "random.seed",
    "np.random.seed",
    "signal.signal",
    "contextlib.redirect_stderr",
    "contextlib.redirect_stdout",
    "torch.manual_seed",
    "torch.set_default_device",
    "torch.set_default_dtype",
    "torch.set_num_threads",
    "torch.use_deterministic_algorithms",
    "warnings.catch_warnings",
    "warnings.filterwarnings",
    "warnings.simplefilter",
}
ALLOWED = {
    "vae/model/network.py": "under a lock",
    "vae/model/theirs.py": "networks that are not ours have one lane",
    "vae/quality/custom.py": "under a lock",
    "vae/training/cuda_graph.py": "under a lock",
    "vae/training/hardware.py": "the same for all trials of lanes",
    "data_io/images/gdal.py": "tiles are cut by one lane at a time",
    "data_io/images/pillow.py": "tiles are cut by one lane at a time",
    "sweep/engine/members.py": "before a program starts",
    "sweep/engine/replay.py": "without lanes",
    "sweep/engine/slurm_jobs.py": "by `run`, which trains nothing",
    "sweep/engine/worker.py": "before the lanes begin",
    "sweep/store/storage.py": "before the lanes begin",
    "sweep/tracking/registration.py": "by `run`, which trains nothing",
    "sweep/tracking/trackers/mlflow.py": "while it is imported, in the sender's thread",
    "sweep/tracking/trackers/wandb.py": "in the sender's thread; no trial reads it",
}


def _called(node: ast.AST) -> str:
    """`torch.manual_seed` of a call of it; empty where it is no name with dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def setters(source: str) -> Iterator[str]:
    """The calls and assignments in a module that change the process for all threads."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _called(node.func) in SETTERS:
            yield _called(node.func)
        if isinstance(node, ast.Assign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                place = target.value if isinstance(target, ast.Subscript) else target
                name = _called(place)
                if name == "os.environ" or name.startswith("torch.backends."):
                    yield name


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_changes_the_process_but_those_that_may(room: str) -> None:
    found = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        if names := sorted(set(setters(path.read_text(encoding="utf-8")))):
            found[str(path.relative_to(ROOT))] = names
    assert {place: names for place, names in found.items() if place not in ALLOWED} == {}


def test_what_may_is_still_there() -> None:
    for place in ALLOWED:
        assert list(setters(Path(ROOT / place).read_text(encoding="utf-8"))), f"{place} changes nothing"


@pytest.mark.parametrize(
    "line",
    [
        "torch.manual_seed(1)",
        "os.environ['A'] = 'b'",
        "os.environ.setdefault('A', 'b')",
        "torch.backends.cudnn.benchmark = True",
        "with warnings.catch_warnings(): pass",
    ],
)
def test_what_changes_the_process_is_seen(line: str) -> None:
    assert len(list(setters(line))) == 1
