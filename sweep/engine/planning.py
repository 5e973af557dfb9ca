"""The plan that a run works through: the study's plan at a scale with the user's changes, checked."""

import os
from typing import get_args

from sweep.engine.devices import visible_gpus
from sweep.engine.options import Options
from sweep.errors import UserError
from sweep.store.home import Home
from sweep.study import Plan, Study, check_name
from sweep.study.border_plan import Strategy
from vae.config import ModelConfig, NetworkConfig
from vae.kinds import short
from vae.names import METRICS, nearest
from vae.optim.optimizers import needs_package
from vae.training.hardware import needs_compiler, slow_precision

CPU_BUDGET_S, GPU_BUDGET_S = 480.0, 300.0
"""Time for a study's blocks where the user gives none."""


def choose_plan(study: Study, options: Options) -> tuple[str, Plan]:
    """The scale of a run and its plan.

    Raises:
        UserError: an option does not fit the study, or this machine cannot run it; nothing was written.
    """
    if options.name is not None:
        check_name(options.name)
    scale = options.scale or default_scale(study, options.device)
    changes = dict(options.settings) | ({} if options.data is None else {"data.source": options.data})
    plan = with_strategy(study.plan(scale).with_settings(changes), options.strategy)
    check_plan(plan, options.device)
    check_blocks(study.name, plan, options.blocks)
    return scale, plan


def default_scale(study: Study, device: str | None) -> str:
    """The study's only scale; of several, paper with a GPU and laptop without."""
    if len(study.plans) == 1:
        return next(iter(study.plans))
    return "paper" if visible_gpus(device) else "laptop"


def with_strategy(plan: Plan, strategy: str | None) -> Plan:
    """Raises UserError where the study maps no border, or there is no such strategy."""
    if strategy is None:
        return plan
    if plan.border is None:
        raise UserError("a strategy is for studies that map a border, such as border_study")
    if strategy not in get_args(Strategy):
        raise UserError(f"there is no strategy {strategy!r}; {nearest(strategy, get_args(Strategy))}")
    return plan.model_copy(update={"border": plan.border.model_copy(update={"strategy": strategy})})


def check_plan(plan: Plan, device: str | None = None) -> None:
    """Raises UserError where an arm's or column's config is not valid, its network cannot be trained, or this
    machine lacks its optimizer's package or the compiler that it asks for."""
    on_cpu = not visible_gpus(device)
    for config in plan.configs():
        missing = needs_package(config.optim.optimizer) or (on_cpu and needs_compiler(config.compile))
        if missing:
            raise UserError(missing)
    for model in dict.fromkeys(config.model for config in plan.configs()):
        _check_network(model)
    base = plan.base
    try:
        for name in METRICS.names if base.quality_draws else ():
            METRICS.check(name)
    except ValueError as error:
        raise UserError(str(error)) from error
    if base.quality_features and base.quality_features_sha256 and base.quality_draws:
        from vae.quality.custom import check_features

        try:
            check_features(base.quality_features, base.quality_features_sha256, base.model.image_size)
        except ValueError as error:
            raise UserError(str(error)) from error


def _check_network(model: NetworkConfig) -> None:
    """Raises UserError where a network that is not ours cannot be trained."""
    if isinstance(model, ModelConfig):
        return
    from vae.model.theirs import check_network

    try:
        check_network(model)
    except ValueError as error:
        raise UserError(str(error)) from error


def _narrowed(declared: Plan, plan: Plan) -> str | None:
    """What a border is mapped over in a network that has not all of the axes (`BorderPlan.over`)."""
    if declared.border is None or plan.border is None:
        return None
    left = plan.border.plane.across
    lost = [axis.name for axis in declared.border.plane.across if axis not in left]
    over = "over the other axes" if left else "as it is, in one column"
    return f"{short(plan.base.model.kind)} has no {' or '.join(lost)}: it is mapped {over}" if lost else None


def time_for_blocks(plan: Plan, options: Options) -> float | None:
    """Seconds after whose end no block should be running; None where nothing limits them but the claims.

    Where the user says nothing, a first look at the claims takes minutes; more is asked for by name.
    """
    if options.timeout_s is not None or options.blocks is not None:
        return options.timeout_s
    return GPU_BUDGET_S if visible_gpus(options.device) else CPU_BUDGET_S


def check_blocks(name: str, plan: Plan, blocks: int | None) -> None:
    """Raises UserError where the plan has no blocks, or not so many."""
    if blocks is None:
        return
    if plan.blocks is None:
        raise UserError(f"{name} has no blocks: leave --blocks out, or run a study that declares claims")
    if blocks > plan.blocks.most:
        raise UserError(f"{name} has {plan.blocks.most} blocks at most: ask for no more by --blocks")


def cautions(plan: Plan, home: Home, declared: Plan) -> list[str]:
    """What a user should know of the plan on this machine, though it can be run; a sentence each.

    declared: the study's own plan, before the user's changes.
    """
    found = {slow for config in plan.configs() if (slow := slow_precision(config))}
    if narrowed := _narrowed(declared, plan):
        found.add(narrowed)
    if os.environ.get("MLFLOW_TRACKING_URI") and home.tracking is None:
        found.add(
            "MLFLOW_TRACKING_URI is not used: the runs stay in this home, unless --tracking-uri or "
            "SWEEP_TRACKING_URI names a server"
        )
    return sorted(found)
