"""Adding a thing that a setting selects takes one file, whatever its kind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vae import names
from vae.names import OPTIMIZERS, Registry

KINDS = [kind for kind in vars(names).values() if isinstance(kind, Registry)]

ADDITIONS = {
    "optim/clipping/halve.py": """
from collections.abc import Sequence

import torch
from torch import Tensor

from vae.optim.clipping import ClippingPolicy, gradients


class Policy(ClippingPolicy):
    def clip(self, parameters: Sequence[Tensor], grad_norm: Tensor) -> Tensor:
        torch._foreach_mul_(gradients(parameters), 0.5)
        return torch.ones((), dtype=torch.bool)
""",
    "optim/controllers/twice.py": """
from vae.optim.controllers import Controller


class Policy(Controller):
    def factor(self, step: int) -> float:
        return 2.0
""",
    "optim/optimizers/rmsprop.py": """
from collections.abc import Sequence

from torch import nn
from torch.optim import RMSprop

from vae.config import OptimConfig

UPDATE_DIRECTION = "trial_step"


def build(config: OptimConfig, parameters: Sequence[nn.Parameter]) -> RMSprop:
    return RMSprop(parameters, lr=config.lr)
""",
    "optim/optimizers/undeclared.py": """
from vae.optim.optimizers.rmsprop import build

__all__ = ["build"]
""",
    "optim/lr_schedules/half.py": """
from vae.config import OptimConfig


def factor(step: int, total: int, config: OptimConfig) -> float:
    return 1.0 if step < total / 2 else 0.5
""",
    "loss/kl_schedules/late.py": """
from vae.config import ObjectiveConfig


def factor(step: int, total: int, config: ObjectiveConfig) -> float:
    return float(step >= total / 2)


def warmup_fraction(config: ObjectiveConfig) -> float:
    return 0.5
""",
    "loss/kl_rules/double.py": """
from torch import Tensor

from vae.config import ObjectiveConfig


def penalty(kl_per_dim: Tensor, weight: float, progress: float, config: ObjectiveConfig) -> Tensor:
    return 2 * weight * kl_per_dim.sum()
""",
    "loss/likelihoods/laplace.py": """
from torch import Tensor

from vae.loss.likelihoods import Likelihood


class Laplace(Likelihood):
    def forward(self, recon: Tensor, x: Tensor) -> Tensor:
        return (recon - x).abs().sum() / len(x)


def build() -> Laplace:
    return Laplace()
""",
    "quality/metrics/brightness_spread.py": """
from torch import Tensor

from vae.quality.metrics import Metric, of_each


def brightness(images: Tensor) -> Tensor:
    return images.float().mean((1, 2, 3))


def spread(real: Tensor, fake: Tensor, seed: int) -> float:
    return float((real.std() - fake.std()).abs())


METRIC = Metric(of_each(brightness), spread)
""",
}

PROGRAM = """
import json, math
from data_io import BatchLoader
from tests.vae.conftest import SMALL, Watcher, smooth_tiles
from vae import TrainConfig, fit

optim = {"optimizer": "rmsprop", "clip": "halve", "controller": "twice", "lr_schedule": "half", "lr": 1e-4}
objective = {"likelihood": "laplace", "kl_rule": "double", "kl_schedule": "late"}
settings = {"model": SMALL["model"], "optim": optim, "objective": objective, "epochs": 4, "batch_size": 8}
settings |= {"curvature_every": 1, "threads": 1, "device": "cpu", "precision": "float32"}
watcher = Watcher(None, None)
loader = BatchLoader(smooth_tiles(40), 8, 0)
result = fit(TrainConfig.model_validate(settings), loader, smooth_tiles(12), watcher, test=smooth_tiles(24))
refused = []
for wish in ({"curvature_every": 1}, {"optim": {"controller": "edge_ratio"}}, {}):
    try:
        TrainConfig.model_validate(wish | {"optim": wish.get("optim", {}) | {"optimizer": "undeclared"}})
    except ValueError as error:
        refused.append(str(error))
print(json.dumps({
    "steps": watcher.steps, "epochs": watcher.epochs, "summary": result.summary, "refused": refused
}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, float]]]:
    """What a run reports that uses a thing of every kind, each added to a copy of the package as one file."""
    import json
    import os

    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "vae", copy / "vae", ignore=shutil.ignore_patterns("__pycache__"))
    for path, text in ADDITIONS.items():
        assert not (ROOT / "vae" / path).exists()
        (copy / "vae" / path).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), str(ROOT)])},
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, float]]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_trains_with_added_optimizer_clipping_controller_and_schedule(
    trained: dict[str, list[dict[str, float]]],
) -> None:
    steps = trained["steps"]
    assert [step["lr"] for step in steps] == [2e-4] * 10 + [1e-4] * 10
    assert {step["clipped"] for step in steps} == {1.0}


def test_a_run_trains_with_added_likelihood_rule_and_kl_schedule(
    trained: dict[str, list[dict[str, float]]],
) -> None:
    steps = trained["steps"]
    assert [step["kl_weight"] for step in steps] == [0.0] * 10 + [1.0] * 10
    for step in steps:
        expected = step["recon_loss"] + 2 * step["kl_weight"] * step["kl"]
        assert step["loss"] == pytest.approx(expected, rel=1e-5)


def test_an_added_metric_is_measured_in_every_run_with_its_floor(
    trained: dict[str, list[dict[str, float]]],
) -> None:
    assert {"quality/brightness_spread", "quality/brightness_spread_floor"} <= trained["summary"].keys()  # type: ignore[attr-defined]


def test_an_added_optimizer_has_an_edge_ratio_or_is_refused_where_it_would_be_needed(
    trained: dict[str, list[dict[str, float]]],
) -> None:
    assert all(epoch["stability/edge_ratio"] > 0 for epoch in trained["epochs"])
    assert all("stability/preconditioned_sharpness" not in epoch for epoch in trained["epochs"])
    assert len(trained["refused"]) == 2
    assert all("not known for optim.optimizer=undeclared" in str(text) for text in trained["refused"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.package)
def test_every_module_of_a_kind_can_be_loaded_by_its_name(kind: Registry) -> None:
    assert kind.names
    for name in kind.names:
        assert Path(kind.load(name).__file__).stem == name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.package)
def test_an_unknown_name_is_refused_with_the_nearest(kind: Registry) -> None:
    name = kind.names[0]
    with pytest.raises(ValueError, match=f"there is no '{name}x'; did you mean '{name}'"):
        kind.load(f"{name}x")
    with pytest.raises(ValueError, match="there is no"):
        kind.literal(f"{name}x", "PACKAGE")


def test_names_and_literals_are_known_without_importing_torch() -> None:
    code = (
        "import sys; from vae import names; from vae.optim.optimizers import needs_package; "
        "from vae.training.hardware import needs_compiler; needs_compiler('default'); "
        "assert needs_package('adam') is None; assert 'kid_imagenet' in names.METRICS.names; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_literal_is_what_the_module_holds() -> None:
    assert OPTIMIZERS.literal("prodigy", "PACKAGE") == OPTIMIZERS.load("prodigy").PACKAGE == "prodigyopt"
    assert OPTIMIZERS.literal("adam", "PACKAGE") is None


def test_a_literal_is_found_however_it_is_assigned_and_refused_if_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "package_of_a_test" / "kind"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "thing.py").write_text("A = 1\nB: str = 'b'\nC = A = 2\nD = str(3)\n", encoding="utf-8")
    (folder / "_helper.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    kind = Registry("package_of_a_test.kind")
    assert kind.names == ("thing",)
    assert [kind.literal("thing", name) for name in "ABCE"] == [1, "b", 2, None]
    with pytest.raises(ValueError, match="D must be written out as a literal"):
        kind.literal("thing", "D")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.package)
def test_every_kind_says_what_its_modules_must_define(kind: Registry) -> None:
    assert kind.defines
    for name in kind.names:
        assert all(hasattr(kind.load(name), defined) for defined in kind.defines)


def test_a_module_that_lacks_what_its_kind_needs_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "package_that_lacks" / "kind"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    texts = {
        "right": "class Policy: ...\ndef other(): ...",
        "imported": "from x import y as Policy\nother = 1",
        "lacking": "class Politics: ...",
        "broken": "class Policy:\n    def (",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    kind = Registry("package_that_lacks.kind", "Policy", "other")
    assert [kind.check(name) for name in ("right", "imported")] == ["right", "imported"]
    with pytest.raises(ValueError, match=r"lacking\.py does not define Policy or other: the docstring of"):
        kind.check("lacking")
    with pytest.raises(ValueError, match=r"broken\.py is not Python: line 2"):
        kind.check("broken")
