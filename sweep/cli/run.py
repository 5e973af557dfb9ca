"""The commands `run` and `worker`: from options to a finished study, shown on the terminal."""

import sys

import optuna
from rich.console import Console

from sweep.cli.progress import Display
from sweep.cli.signals import Signals
from sweep.cli.terminal import print_json, show_best, show_border_end, show_groups, show_verdicts
from sweep.engine import forecast
from sweep.engine.cores import available_cores
from sweep.engine.devices import place, visible_gpus
from sweep.engine.lane_count import choose_lanes
from sweep.engine.options import Options
from sweep.engine.planning import choose_plan
from sweep.engine.run import Finished, run_study
from sweep.errors import UserError
from sweep.store.groups import groups_of
from sweep.store.home import Home
from sweep.store.links import DEFAULT_TRACKER, study_link
from sweep.store.study_view import StudyView
from sweep.store.summary import Summary, summarise
from sweep.store.trials import DIVERGED, views
from sweep.study import Plan, load_study
from sweep.study.border_plan import BorderPlan
from sweep.tracking.journal import waiting


def run_command(name: str, options: Options, home: Home, dry_run: bool, as_json: bool) -> int:
    """Run a study; returns the exit code.

    Raises:
        UserError: nothing was run.
    """
    study = load_study(name)
    if dry_run:
        scale, plan = choose_plan(study, options)
        _show_plan(scale, plan, options.trials or plan.trials, as_json)
        return 0
    display = Display(Console(stderr=as_json), quiet=as_json)
    with Signals() as signals:
        finished = run_study(study, options, home, display, signals.stop)
    summary = summarise(finished.study)
    if as_json:
        print_json(summary.as_dict())
    else:
        _show_end(finished, summary, unsent=len(waiting(home.spool)))
        if not signals.interrupted:
            _show_next(finished.study)
    return signals.exit_code(finished)


def worker_command(name: str, options: Options, home: Home) -> int:
    """Join a study; returns the exit code.

    Raises:
        UserError: nothing was run.
    """
    from sweep.engine.join import join_study

    if not home.has_stores():
        raise UserError(f"there is no store in {home.root}: name one with --storage or SWEEP_STORAGE")
    with Signals() as signals:
        finished = join_study(name, options, home, Display(Console()), signals.stop)
    if finished.stopped:
        print(f"ended early: {finished.stopped}")
    return signals.exit_code(finished)


def _show_plan(scale: str, plan: Plan, trials: int, as_json: bool) -> None:
    if as_json:
        print_json(plan.model_dump(mode="json") | {"scale": scale, "trials": trials})
        return
    if plan.border is None:
        print(f"scale {scale}, {trials} trials, nothing is run")
    else:
        print(f"scale {scale}, nothing is run")
    for axis in plan.axes:
        if axis.kind == "choice":
            span = " | ".join(str(choice) for choice in axis.choices)
        else:
            span = f"{axis.low:g} .. {axis.high:g}"
        print(f"  searched: {axis.path} in {span}{' (log)' if axis.kind == 'float' and axis.log else ''}")
    if plan.border is not None:
        _show_border(plan.border)
    names = [arm.name + (f" (from trial {arm.from_trial})" if arm.from_trial else "") for arm in plan.arms]
    if plan.border is None:
        print("  arms: " + ", ".join(names))
    if plan.confirm is not None:
        sets = "".join(f", {path}={value}" for path, value in plan.confirm.settings.items())
        print(f"  then: the best setting of every arm over {plan.confirm.seeds} fresh seeds{sets}")
    _show_blocks(plan)
    print("  base: " + plan.base.model_dump_json())


def _show_border(border: BorderPlan) -> None:
    """What is mapped, and where whole runs are trained."""
    plane = border.plane
    print(f"  borders: {', '.join(border.labels)}; seeds {', '.join(map(str, border.seeds))}; columns:")
    for number, column in enumerate(plane.columns):
        trained = ", with whole runs" if border.distances and border.trains_at(number) else ""
        print(f"    {plane.name(column)}{trained}")
    if border.distances:
        distances = ", ".join(f"{distance:g}" for distance in border.distances)
        seeds = ", ".join(map(str, border.distance_seeds))
        print(f"  whole runs: {distances} decades below the {border.distance_label} border, seeds {seeds}")


def _show_blocks(plan: Plan) -> None:
    """The design of what claims rest on."""
    if plan.blocks is not None:
        arms = plan.block_arms()
        grid = " x ".join(f"{path} in {', '.join(map(str, v))}" for path, v in plan.blocks.grid.items())
        runs = sum(len(plan.tried_in_block(arm)) for arm in arms)
        names = ", ".join(arm.name for arm in arms)
        print(f"  blocks: {runs} runs each, over {names}; {grid or 'nothing is tuned'}")
        print(f"  {forecast.looks(plan)}")
    for claim in plan.claims:
        endpoints = ", ".join(endpoint.title for endpoint in claim.endpoints)
        print(f"  claim: {claim.statement} ({endpoints})")


def _show_end(finished: Finished, summary: Summary, unsent: int) -> None:
    study = finished.study
    view = StudyView.of(study)
    plan = view.readable_plan
    show_groups(*groups_of(views(study.get_trials(deepcopy=False), plan), plan))
    _show_claims(study, plan)
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


def _show_claims(study: optuna.Study, plan: Plan | None) -> None:
    if plan is None or not (plan.claims or plan.carries):
        return
    from sweep.evidence.carried import carried, one_rates
    from sweep.evidence.edges import at_edges
    from sweep.evidence.verdicts import verdicts

    trials = views(study.get_trials(deepcopy=False), plan)
    placing = place(visible_gpus(None), None, 1, available_cores())
    at_once = len(placing) * choose_lanes(plan, None, placing, available_cores())
    more = forecast.to_next_look(plan, trials, at_once)
    words = [f"{row}." for row in (*carried(plan, trials), *one_rates(plan, trials))]
    if more is not None:
        name = StudyView.of(study).module or study.study_name
        words.append(
            f"the next look, at {more[0]} blocks, takes about {forecast.duration(more[1])} more: "
            f"python -m sweep run {name} --budget {forecast.budget(more[1])}"
        )
    show_verdicts(verdicts(plan, trials), [*(f"{edge}." for edge in at_edges(plan, trials)), *words])


def _show_next(study: optuna.Study) -> None:
    name = study.study_name
    if StudyView.of(study).maps_border:
        show_border_end(name)
        return
    print("\nnext:")
    link = study_link(study)
    if link is not None and link.tracker == DEFAULT_TRACKER:  # `ui` serves MLflow
        print("  python -m sweep ui                         browse the runs (MLflow) and trials (Optuna)")
    print(f"  python -m sweep report {name:19} write the report")
    print(f"  python -m sweep generate {name:17} draw samples from the best model")
