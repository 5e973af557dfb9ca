"""The `run` command: from words on the command line to a finished study on the terminal."""

import re
import sys
from typing import Any, Literal, get_args

from rich.console import Console

from sweep.cli.progress import Display
from sweep.cli.terminal import print_json, show_best, show_border_end, show_groups
from sweep.engine.devices import visible_gpus
from sweep.engine.limits import EXIT_INTERRUPTED, EXIT_TERMINATED
from sweep.engine.run import Finished, Options, run_study
from sweep.errors import UserError
from sweep.store.groups import groups_of
from sweep.store.home import Home
from sweep.store.study_view import StudyView
from sweep.store.summary import Summary, summarise
from sweep.store.trials import DIVERGED, views
from sweep.study import IntAxis, Plan, load_study
from sweep.study.border_plan import Strategy
from sweep.study.config import with_settings
from sweep.tracking.journal import waiting
from vae.names import nearest
from vae.optim.optimizers import needs_package
from vae.training.hardware import needs_compiler

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def run_command(
    name: str,
    *,
    scale: str | None,
    trials: int | None,
    timeout: str | None,
    workers: int | None,
    device: str | None,
    data: str | None,
    settings: list[str],
    seed: int,
    name_in_store: str | None,
    max_failures: int,
    max_retries: int,
    workers_per_gpu: int,
    strategy: str | None,
    use_map: bool,
    storage: str | None,
    tracking_uri: str | None,
    checkpoint_uri: str | None,
    executor: Literal["local", "ray"],
    ray_address: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Returns the exit code.

    Raises:
        UserError: nothing was run.
    """
    from sweep.study.config import parse_settings

    study = load_study(name)
    scale = scale or ("paper" if visible_gpus(device) else "laptop")
    chosen = parse_settings(settings) | ({} if data is None else {"data.source": data})
    plan = with_strategy(study.plan(scale).with_settings(chosen), strategy)
    check_arms(plan, device)
    options = Options(
        scale=scale,
        trials=trials,
        workers=workers,
        device=device,
        seed=seed,
        name=name_in_store,
        timeout_s=parse_duration(timeout),
        max_failures=max_failures,
        max_retries=max_retries,
        workers_per_gpu=workers_per_gpu,
        executor=executor,
        ray_address=ray_address,
    )
    if dry_run:
        _show_plan(plan, options, as_json)
        return 0
    home = Home.find(storage, tracking_uri, checkpoint_uri)
    display = Display(Console(stderr=as_json), quiet=as_json)
    if use_map:
        plan = _inside_border(plan, home, display)
    finished = run_study(study, plan, options, home, display)
    summary = summarise(finished.study)
    if as_json:
        print_json(summary.as_dict())
    else:
        _show_end(finished, summary, unsent=len(waiting(home.spool)))
    return finished.exit_code


def with_strategy(plan: Plan, strategy: str | None) -> Plan:
    """Raises UserError where the study maps no border, or there is no such strategy."""
    if strategy is None:
        return plan
    if plan.border is None:
        raise UserError("--strategy is for studies that map a border, as border_study")
    if strategy not in get_args(Strategy):
        raise UserError(f"there is no strategy {strategy!r}; {nearest(strategy, get_args(Strategy))}")
    return plan.model_copy(update={"border": plan.border.model_copy(update={"strategy": strategy})})


def _inside_border(plan: Plan, home: Home, display: Display) -> Plan:
    from sweep.border.caps import with_caps

    capped, name = with_caps(plan, home)
    if name:
        arms = len(capped.caps)
        display.say(f"learning rates of {arms} arms stay inside the border that {name} mapped (or --no-map)")
    return capped


def check_arms(plan: Plan, device: str | None = None) -> None:
    """Raises UserError, before anything runs, where the depths of an arm or column do not fit the tiles, its
    optimizer is not installed, or what would compile it is not."""
    apart: list[dict[str, Any]]
    if plan.border:
        apart = [plan.border.plane.settings(column) for column in plan.border.plane.columns]
    else:
        deepest: dict[str, Any] = {axis.path: axis.high for axis in plan.axes if isinstance(axis, IntAxis)}
        apart = [{**deepest, **arm.settings, **arm.fixed} for arm in plan.arms]
    on_cpu = not visible_gpus(device)
    for settings in apart:
        config = with_settings(plan.base, settings)
        missing = needs_package(config.optim.optimizer) or (on_cpu and needs_compiler(config.compile))
        if missing:
            raise UserError(missing)


def parse_duration(text: str | None) -> float | None:
    """`90s`, `30m`, `2h` or plain seconds -> seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise UserError(f"--timeout {text!r} is not a duration: write 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def _show_plan(plan: Plan, options: Options, as_json: bool) -> None:
    if as_json:
        trials = options.trials or plan.trials
        print_json(plan.model_dump(mode="json") | {"scale": options.scale, "trials": trials})
        return
    print(f"scale {options.scale}, {options.trials or plan.trials} trials, nothing is run")
    for axis in plan.axes:
        if axis.kind == "choice":
            span = " | ".join(str(choice) for choice in axis.choices)
        else:
            span = f"{axis.low:g} .. {axis.high:g}"
        print(f"  searched: {axis.path} in {span}{' (log)' if axis.kind == 'float' and axis.log else ''}")
    names = [arm.name + (f" (from trial {arm.from_trial})" if arm.from_trial else "") for arm in plan.arms]
    print("  arms: " + ", ".join(names))
    if plan.confirm is not None:
        sets = "".join(f", {path}={value}" for path, value in plan.confirm.settings.items())
        print(f"  then: the best setting of every arm over {plan.confirm.seeds} fresh seeds{sets}")
    print("  base: " + plan.base.model_dump_json())


def _show_end(finished: Finished, summary: Summary, unsent: int) -> None:
    study = finished.study
    view = StudyView.of(study)
    plan = view.readable_plan
    show_groups(*groups_of(views(study.get_trials(deepcopy=False), plan), plan))
    unstable = {o: n for o, n in summary.outcomes.items() if o in DIVERGED}
    if unstable:
        shown = ", ".join(f"{n} {outcome}" for outcome, n in unstable.items())
        print(f"{sum(unstable.values())} trials diverged ({shown}): a result, recorded with objective inf")
    if summary.best is not None or not view.maps_border:
        show_best(summary)
    if finished.stopped:
        print(f"ended early: {finished.stopped}; the same command continues the study")
    if finished.failures:
        print(f"{finished.failures} trials failed: see the lines above", file=sys.stderr)
    if unsent:
        print(
            f"{unsent} runs wait in the spool for the tracking store: the next `run` sends them, "
            "or `python -m sweep doctor --fix`",
            file=sys.stderr,
        )
    if finished.exit_code in (EXIT_INTERRUPTED, EXIT_TERMINATED):
        return
    if view.maps_border:
        show_border_end(summary.study)
    else:
        print("\nnext:")
        print("  python -m sweep ui                         browse the runs (MLflow) and trials (Optuna)")
        print(f"  python -m sweep report {summary.study:19} write the report")
        print(f"  python -m sweep generate {summary.study:17} draw samples from the best model")
