"""A run that was stopped and resumed is the run that was never stopped."""

import math
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_io.tiles.loader import BatchLoader
from tests.conftest import ROOT
from tests.vae.conftest import Run, Watcher
from vae.config import TrainConfig
from vae.model.network import VAE
from vae.names import (
    CLIPPING,
    CONTROLLERS,
    KL_RULES,
    KL_SCHEDULES,
    LIKELIHOODS,
    LR_SCHEDULES,
    OPTIMIZERS,
)
from vae.stability.monitor import Outcome
from vae.training import checkpoint
from vae.training.evaluate import Evaluation
from vae.training.fit import fit
from vae.training.hooks import Hooks

Small = Callable[..., TrainConfig]
RunFit = Callable[..., Any]
AssertSame = Callable[..., None]


class KilledError(Exception):
    pass


SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bfloat16-channels_last": {"precision": "bfloat16", "memory_format": "channels_last"},
    "channels_last": {"memory_format": "channels_last"},
    "bfloat16-group": {"precision": "bfloat16", "model": {"norm": "group"}},
    "residual-deep": {"model": {"encoder_depth": 5, "decoder_depth": 4, "extra_block": "residual"}},
    "warm-up-cyclical": {"objective": {"kl_schedule": "cyclical", "kl_cycles": 2}},
    "plateau": {"optim": {"lr_schedule": "plateau", "lr_patience": 1, "lr": 0.05}},
    "clipped-relative": {"optim": {"clip": "norm", "clip_norm_relative": 0.5, "optimizer": "adamw"}},
    "curvature": {"curvature_every": 1},
    "parametrisation": {"optim": {"parametrisation": "mup"}},
    "head-scale": {"optim": {"head_scale": "mup", "optimizer": "adamw"}, "curvature_every": 1},
    "skip-threshold": {"optim": {"skip": "threshold", "skip_threshold": 150.0}},
    "skip-nonfinite": {"optim": {"skip": "nonfinite"}},
    **{f"bound-{kind}": {"model": {"logvar_bound": kind}} for kind in ("clamp", "soft")},
    **{
        f"optimizer-{name}": {"optim": {"optimizer": name, "lr": lr}}
        for name, lr in (dict.fromkeys(OPTIMIZERS.names, 3e-3) | {"sgd": 1e-5, "prodigy": 1.0}).items()
    },
    **{f"clip-{name}": {"optim": {"clip": name, "clip_norm": 50.0}} for name in CLIPPING.names},
    **{
        f"lr-{name}": {"optim": {"lr_schedule": name, "lr_warmup_fraction": 0.2}}
        for name in LR_SCHEDULES.names
    },
    **{f"controller-{name}": {"optim": {"controller": name}} for name in CONTROLLERS.names},
    **{f"kl-{name}": {"objective": {"kl_schedule": name}} for name in KL_SCHEDULES.names},
    **{f"rule-{name}": {"objective": {"kl_rule": name}} for name in KL_RULES.names},
    **{f"likelihood-{name}": {"objective": {"likelihood": name}} for name in LIKELIHOODS.names},
}


# What is a function of the step alone, or of the model, has nothing of its own to resume.
STATELESS = ("kl-", "rule-", "likelihood-", "bound-", "lr-", "residual-", "channels_last")
# Two threads wait for each other where the machine is busy: seconds become a minute.
SLOW = {"two-threads"} | {name for name in SETTINGS if name.startswith(STATELESS)} - {"lr-plateau"}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, settings in (SETTINGS | {"two-threads": {"threads": 2}}).items()
    ],
)
def test_resume_is_bit_equal_to_never_stopping(
    small: Small,
    run_fit: RunFit,
    assert_same_run: AssertSame,
    tmp_path: Path,
    settings: dict[str, Any],
) -> None:
    """Stopped twice: in the middle of the second epoch, and in the third, before its checkpoint."""
    config = small(epochs=4, picture_every=3, **settings)
    undisturbed = run_fit(config)
    path = tmp_path / "run.pt"
    for at in (("step", 7), ("epoch", 2)):
        with pytest.raises(KilledError):
            run_fit(config, path, KilledError(), at)
        torch.rand(3)
    resumed = run_fit(config, path)
    assert [record["epoch"] for record in resumed.watcher.epochs] == [2, 3]
    assert_same_run(undisturbed, resumed, from_epoch=2)


IN_A_PROCESS_OF_ITS_OWN = """
import os, pickle, signal, sys
from pathlib import Path
from data_io import BatchLoader
from tests.vae.conftest import Watcher, smooth_tiles
from vae.config import TrainConfig
from vae.training.fit import fit

class Killed(Watcher):
    def on_step(self, record):
        super().on_step(record)
        if int(record["step"]) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

config = TrainConfig.model_validate_json(sys.argv[1])
loader = BatchLoader(smooth_tiles(40), config.batch_size, config.seed, flip=True, rotate=True)
watcher = Killed(None, None)
path = Path(sys.argv[2])
result = fit(config, loader, smooth_tiles(12, seed=1), watcher, path)
path.with_suffix(".end").write_bytes(pickle.dumps((result, watcher.steps, watcher.epochs, watcher.pictures)))
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_in_a_new_process_as_in_one_that_was_not(
    small: Small, assert_same_run: AssertSame, tmp_path: Path
) -> None:
    """SIGKILL in the middle of an epoch, with bfloat16, batch norm and channels-last."""
    config = small(epochs=4, precision="bfloat16", memory_format="channels_last")

    def start(name: str, kill_at: int) -> int:
        code = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN, config.model_dump_json()]
        return subprocess.run([*code, str(tmp_path / name), str(kill_at)], cwd=ROOT, check=False).returncode

    def ended(name: str) -> Run:
        result, *records = pickle.loads((tmp_path / name).with_suffix(".end").read_bytes())
        watcher = Watcher(None, None)
        watcher.steps, watcher.epochs, watcher.pictures = records
        return Run(result, watcher)

    assert start("whole.pt", -1) == 0
    assert [start("killed.pt", 12), start("killed.pt", -1)] == [-signal.SIGKILL, 0]
    resumed = ended("killed.pt")
    assert resumed.watcher.epochs[0]["epoch"] == 2
    assert_same_run(ended("whole.pt"), resumed, from_epoch=2)


def test_a_run_that_is_stopped_after_every_epoch_is_still_the_same(
    small: Small, run_fit: RunFit, assert_same_run: AssertSame, tmp_path: Path
) -> None:
    config = small(epochs=4, optim={"clip": "norm", "clip_norm_relative": 1.0})
    path = tmp_path / "run.pt"
    for epoch in range(1, 4):
        with pytest.raises(KilledError):
            run_fit(config, path, KilledError(), ("step", 5 * epoch + 2))
    assert_same_run(run_fit(config), run_fit(config, path), from_epoch=3)


def test_writing_checkpoints_changes_nothing(
    small: Small, run_fit: RunFit, assert_same_run: AssertSame, tmp_path: Path
) -> None:
    config = small()
    assert_same_run(run_fit(config), run_fit(config, tmp_path / "run.pt"))


def test_a_checkpoint_is_written_when_it_is_due(small: Small, run_fit: RunFit, tmp_path: Path) -> None:
    run_fit(small(epochs=1, checkpoint_seconds=3600), tmp_path / "late.pt")
    run_fit(small(epochs=1, checkpoint_seconds=0), tmp_path / "at_once.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["at_once.pt"]


def test_a_resumed_run_keeps_its_probed_clip_norm_and_shows_no_second_start(
    small: Small, run_fit: RunFit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(optim={"clip": "norm", "clip_norm_relative": 0.5})
    with pytest.raises(KilledError):
        run_fit(config, tmp_path / "run.pt", KilledError(), ("step", 7))
    (before,) = run_fit(config).watcher.infos

    def never(*_: object) -> float:
        raise AssertionError("a resumed run probes again")

    monkeypatch.setattr("vae.training.fit.clip_unit", never)
    _, watcher = run_fit(config, tmp_path / "run.pt")
    assert watcher.infos == [before]
    assert [step for step, _ in watcher.pictures] == [15]


def validations(monkeypatch: pytest.MonkeyPatch, recon_losses: dict[int, float]) -> None:
    """Validation finds these losses after the steps named, 5 otherwise; batch norm counts the steps."""

    def found(model: VAE, tiles: Tensor, noise: Tensor, *_: object) -> Evaluation:
        steps = int(model.state_dict()["encoder.layers.0.1.num_batches_tracked"])
        return Evaluation(recon_losses.get(steps, 5.0), 1.0, 10.0, 3)

    monkeypatch.setattr("vae.training.fit.evaluate", found)


def test_a_resumed_run_keeps_the_reductions_of_its_learning_rate(
    small: Small,
    run_fit: RunFit,
    assert_same_run: AssertSame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    validations(monkeypatch, {5: 1.0})
    config = small(epochs=6, optim={"lr_schedule": "plateau", "lr_patience": 1, "lr": 0.01, "lr_gamma": 0.5})
    undisturbed = run_fit(config)
    lrs = [step["lr"] for step in undisturbed.watcher.steps[::5]]
    assert lrs == [0.01, 0.01, 0.01, 0.005, 0.005, 0.0025]
    for epoch in range(1, 6):
        path = tmp_path / f"{epoch}.pt"
        with pytest.raises(KilledError):
            run_fit(config, path, KilledError(), ("step", 5 * epoch + 2))
        assert_same_run(undisturbed, run_fit(config, path), from_epoch=epoch)


def ended(outcome: Outcome, small: Small, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A config whose run ends with this outcome."""
    if outcome is Outcome.CONVERGED:
        validations(monkeypatch, {})
        return small(epochs=6, early_stopping_patience=1)
    if outcome is Outcome.NONFINITE:
        validations(monkeypatch, {10: math.nan})
        return small(epochs=6)
    return small()


@pytest.mark.parametrize("outcome", [Outcome.BUDGET, Outcome.CONVERGED, Outcome.NONFINITE], ids=str)
def test_a_run_killed_after_its_last_checkpoint_ends_as_it_would_have(
    small: Small,
    run_fit: RunFit,
    assert_same_run: AssertSame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Outcome,
) -> None:
    config = ended(outcome, small, monkeypatch)
    path = tmp_path / "run.pt"
    first = run_fit(config, path)
    assert first.result.outcome is outcome
    # Its end was reached and not recorded: the checkpoint is all that is left.
    assert_same_run(first, run_fit(config, path), from_epoch=first.result.epochs)


def test_a_checkpoint_of_another_config_is_refused_and_the_fields_are_named(
    small: Small, run_fit: RunFit, tmp_path: Path
) -> None:
    path = tmp_path / "run.pt"
    run_fit(small(epochs=1), path)
    written = path.read_bytes()
    with pytest.raises(ValueError, match=r"another config; they differ in optim\.lr \(0\.003 -> 0\.004\)$"):
        run_fit(small(epochs=1, optim={"lr": 0.004}), path)
    with pytest.raises(ValueError, match=r"differ in epochs \(1 -> 2\), model\.norm \(batch -> group\)$"):
        run_fit(small(epochs=2, model={"norm": "group"}), path)
    assert path.read_bytes() == written


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused_by_its_path(
    small: Small, run_fit: RunFit, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "run.pt"
    run_fit(small(epochs=1), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"run\.pt is not a readable checkpoint"):
        run_fit(small(epochs=1), path)


def test_a_checkpoint_is_loaded_without_running_code(small: Small, run_fit: RunFit, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    run_fit(small(epochs=1), path)
    assert torch.load(path, weights_only=True)["state"]["step"] == 5
    assert checkpoint.load(path)["config"]["epochs"] == 1


class Leaving(Hooks):
    """Asks for a checkpoint after a step and leaves once it is written."""

    def __init__(self, step: int | None) -> None:
        self.step, self.steps, self.resumed_at = step, [], 0
        self.epochs: list[dict[str, float]] = []

    def on_resume(self, step: int) -> None:
        self.resumed_at = step

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)

    def on_epoch(self, record: dict[str, float]) -> None:
        self.epochs.append({k: v for k, v in record.items() if not k.startswith("time/")})

    def wants_checkpoint(self) -> bool:
        return self.step is not None and self.steps[-1]["step"] == self.step

    def after_checkpoint(self, step: int) -> None:
        if self.wants_checkpoint():
            raise KilledError


# In mid-epoch, after the last batch of an epoch, and before its first.
@pytest.mark.parametrize("step", [0, 7, 9])
@pytest.mark.parametrize("name", ["float32", "optimizer-schedulefree", "clip-zscore", "kl-cyclical"])
def test_a_run_that_stops_in_mid_epoch_continues_with_the_next_step(
    small: Small,
    make_tiles: Callable[..., Tensor],
    tmp_path: Path,
    name: str,
    step: int,
) -> None:
    config = small(epochs=3, **SETTINGS[name])

    def run(hooks: Leaving, path: Path | None = None) -> Any:
        loader = BatchLoader(make_tiles(40), config.batch_size, config.seed, flip=True, rotate=True)
        return fit(config, loader, make_tiles(12, seed=1), hooks, path)

    whole, before, after = Leaving(None), Leaving(step), Leaving(None)
    undisturbed = run(whole)
    with pytest.raises(KilledError):
        run(before, tmp_path / "run.pt")
    resumed = run(after, tmp_path / "run.pt")
    assert after.resumed_at == step + 1
    assert repr(before.steps + after.steps) == repr(whole.steps)
    assert repr(before.epochs + after.epochs) == repr(whole.epochs)
    assert all(torch.equal(v, resumed.weights[k]) for k, v in undisturbed.weights.items())
    assert repr(undisturbed.summary) == repr(resumed.summary)
