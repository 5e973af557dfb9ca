"""Is one run with the stable preset as good as the best of a learning-rate sweep? And does a controller help?

A cell is a depth, a number of steps, and what else is changed. In every cell the preset, and what might
replace it or a part of it, is compared with two sweeps of seven learning rates: of the plain model, and of
the model with the preset's bound. A sweep chooses its rate from one run a rate; then its choice and all the
others are run with the same fresh seeds, on which no choice was made. Nothing is stopped early.
"""

from collections.abc import Mapping

from studies.base import LAPTOP, PAPER, SMOKE
from studies.stable import STABLE, STABLE_SGD, Settings
from sweep.study import Arm, Confirm, FloatAxis, Plan, Study
from sweep.study.config import TrialConfig, with_settings

LR = "optim.lr"
LRS = (3e-4, 6.5e-4, 1.4e-3, 3e-3, 6.5e-3, 1.4e-2, 3e-2)
SGD_LRS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
SGD: Settings = {"optim.optimizer": "sgd", "optim.clip": "norm", "optim.clip_norm": 1.0}

NO_BOUND: Settings = {"model.logvar_bound": "none"}
BOUND: Settings = {"model.logvar_bound": "soft"}
PRESETS: Mapping[str, Settings] = {"preset": {}, "preset without the bound": NO_BOUND}
# What takes the bound's place does without it; all else is on top of the preset.
OTHERS: Mapping[str, Settings] = {
    "rollback": {"optim.guard": "rollback"},
    "rollback without the bound": {"optim.guard": "rollback", **NO_BOUND},
    "log-variance guard without the bound": {"optim.controller": "logvar_guard", **NO_BOUND},
    "ramp": {"optim.controller": "ramp", "optim.lr_warmup_fraction": 0.0},
    "border cap": {"optim.controller": "border_cap"},
    "edge ratio": {"optim.controller": "edge_ratio"},
    "schedule-free": {"optim.optimizer": "schedulefree", "optim.lr_schedule": "constant"},
    "Prodigy": {"optim.optimizer": "prodigy", LR: 1.0},
}


def _depth(depth: int, **more: str | int | float) -> Settings:
    return {"model.encoder_depth": depth, "model.decoder_depth": depth, **more}


def _cell(
    name: str, cell: Settings, methods: Mapping[str, Settings], lrs: tuple[float, ...] = LRS
) -> list[Arm]:
    """The two sweeps, then the methods, each the preset with something changed."""
    arms = [
        Arm(name=f"{sweep}: {name}", settings={**cell, **bound}, grid={LR: lrs})
        for sweep, bound in (("sweep", NO_BOUND), ("sweep with the bound", BOUND))
    ]
    for method, changed in methods.items():
        settings = {**STABLE, **cell, **changed}
        lr = settings.pop(LR)
        arms.append(Arm(name=f"{method}: {name}", fixed={LR: lr}, settings=settings, confirm_only=True))
    return arms


def _plan(base: TrialConfig, arms: list[Arm], seeds: int) -> Plan:
    sweeps = [len(arm.grid[LR]) for arm in arms if arm.grid]
    quiet = {"early_stopping_patience": 0, "quality_draws": 0, "picture_every": 1000}
    return Plan(
        base=with_settings(base, quiet),
        axes=(FloatAxis(path=LR, low=1e-4, high=10.0, log=True),),
        arms=tuple(arms),
        trials=sum(sweeps),
        confirm=Confirm(seeds=seeds),
    )


def _smoke() -> Plan:
    return _plan(SMOKE, _cell("depth 4", _depth(4), {**PRESETS, **OTHERS}, LRS[1::2]), seeds=2)


def _laptop() -> Plan:
    """464 tiles for training: 14 steps an epoch in batches of 32. 2.1 hours on two cores."""
    arms = []
    for depth in (2, 4, 6, 8):
        arms += _cell(f"depth {depth}, 600 steps", _depth(depth, epochs=43), {**PRESETS, **OTHERS})
    only = {"preset": PRESETS["preset"]}
    at_4 = _depth(4, epochs=43)
    arms += _cell("KL weight 4", {**at_4, "objective.kl_weight": 4.0}, only)
    arms += _cell("batch 8", {**_depth(4, epochs=10), "batch_size": 8}, only)
    arms += _cell("batch 128", {**_depth(4, epochs=200), "batch_size": 128}, only)
    sgd = {"preset": {k: v for k, v in STABLE_SGD.items() if k not in SGD}}
    arms += _cell("SGD", {**at_4, **SGD}, sgd, SGD_LRS)
    for depth in (2, 4, 6, 8):
        arms += _cell(f"depth {depth}, 1,500 steps", _depth(depth, epochs=107), PRESETS)
    return _plan(LAPTOP, arms, seeds=3)


def _paper() -> Plan:
    arms = []
    for depth in (5, 6, 8):
        arms += _cell(f"depth {depth}", _depth(depth), {**PRESETS, **OTHERS})
    return _plan(PAPER, arms, seeds=3)


STUDY = Study(
    name="one_run_study",
    summary="Is one run with the stable preset as good as a sweep of the learning rate? Do controllers help?",
    plans={"smoke": _smoke(), "laptop": _laptop(), "paper": _paper()},
)
