"""The `train` command: one run with the stable preset, recorded as a study of its own."""

import itertools
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console

from sweep.cli.progress import Display
from sweep.cli.signals import EXIT_FAILED, Signals
from sweep.cli.terminal import print_json
from sweep.engine.options import Options
from sweep.engine.planning import choose_plan
from sweep.engine.run import load_tiles, run_study
from sweep.store.home import Home
from sweep.store.storage import open_optuna, stored_names
from sweep.store.study_view import StudyView
from sweep.store.summary import finite_trials, summarise
from sweep.store.trials import TrialView
from sweep.study import Plan, load_preset
from sweep.study.config import TrialConfig, flatten
from sweep.tracking.registration import identity_of
from vae.config import ModelConfig, NetworkConfig
from vae.kinds import short

HIGH_LOGVAR = 12.0
"""Prototypes passed this raw log-variance before they blew up. It predicts nothing by itself: most runs of
`one_run_study` that stayed stable passed it too, with the bound and without."""
SAMPLES = 64


def train_command(options: Options, home: Home, as_json: bool) -> int:
    """Train one model; returns the exit code, which is 1 also where the run diverged.

    Raises:
        UserError: nothing was run.
    """
    study, under_sgd = load_preset()
    options = replace(options, settings=_with_sgd_preset(options.settings, under_sgd))
    scale, plan = choose_plan(study, options)
    home.create()
    display = Display(Console(stderr=as_json), quiet=as_json)
    name = options.name or _free_name(study.name, plan, scale, home)
    for line in reasons(plan.base):
        display.say(line)
    with Signals() as signals:
        finished = run_study(study, replace(options, name=name), home, display, signals.stop)
    if as_json:
        print_json(summarise(finished.study).as_dict())
    if finished.stopped:
        print(f"ended early: {finished.stopped}; the same command continues it", file=sys.stderr)
    code = signals.exit_code(finished)
    if code != 0 or finished.stopped:
        return code
    ended = finished.study.get_trials(deepcopy=False)[-1]
    if not finite_trials([ended]):
        view = TrialView(ended)
        print(f"the run ended as {view.outcome}: {view.reason}", file=sys.stderr)
        return EXIT_FAILED
    if not as_json:
        _show_end(home, name, ended, plan.base.model.logvar_bound != "none")
        _show_next(sweep_command(name, plan, scale, options))
    return 0


def _with_sgd_preset(settings: Mapping[str, Any], under_sgd: Mapping[str, Any]) -> Mapping[str, Any]:
    """The user's settings with the preset's for SGD, where the user chose that optimizer."""
    if settings.get("optim.optimizer") != "sgd":
        return settings
    given_lr = {"optim.lr_border_fraction"} if "optim.lr" in settings else set()
    return {path: value for path, value in under_sgd.items() if path not in given_lr} | dict(settings)


def reasons(config: TrialConfig) -> list[str]:
    """Sentences on what the preset does and why it keeps the run stable; only on settings in force."""
    optim = config.optim
    said = [f"one run of {config.epochs} epochs {_network(config.model)}, no sweep:"]
    if config.model.logvar_bound == "soft":
        said.append("  the encoder's log-variance is 10 tanh(lv / 10), so the sampled code cannot blow up")
    if optim.lr_border_fraction is not None:
        said.append(
            f"  {optim.optimizer} at {optim.lr_border_fraction:g} of the learning rate at which short runs "
            "blow up"
        )
    else:
        said.append(f"  {optim.optimizer} at a learning rate of {optim.lr:g}")
    if optim.lr_warmup_fraction:
        said.append(
            f"  the learning rate rises over the first {optim.lr_warmup_fraction:.0%} of the steps, where a "
            "fresh network is most likely to diverge"
        )
    if optim.lr_schedule == "wsd" and optim.lr_decay_fraction:
        said.append(
            f"  and falls to 0 over the last {optim.lr_decay_fraction:.0%}, which averages out its noise"
        )
    if optim.controller != "none":
        said.append(f"  the controller {optim.controller} scales the learning rate during the run")
    if optim.guard == "rollback":
        said.append(
            "  after a spike that the weights caused, they are rolled back and the learning rate is halved"
        )
    if optim.skip == "nonfinite":
        said.append("  a step whose gradient is not finite is skipped, at most five in a row")
    return said


def _network(model: NetworkConfig) -> str:
    if not isinstance(model, ModelConfig):
        return f"of {short(model.kind)}"
    encoder, decoder = model.encoder_depth, model.decoder_depth
    return f"at depth {encoder}" if encoder == decoder else f"at depth {encoder} and {decoder}"


def _free_name(first: str, plan: Plan, scale: str, home: Home) -> str:
    """The first of train, train-2, ... that is free or holds runs of the same settings, scale and data."""
    store = open_optuna(home)
    wanted = json.loads(json.dumps(identity_of(plan, load_tiles(plan, home), scale)))
    for number in itertools.count(1):
        name = first if number == 1 else f"{first}-{number}"
        if name not in stored_names(store):
            return name
        held = StudyView(name, store.get_study_user_attrs(store.get_study_id_from_name(name)))
        # A study has no identity yet if it was killed before it was linked to its run.
        if held.identity in (wanted, None):
            return name
    raise AssertionError("the numbers have no end")


def logvar_warning(largest: float, bounded: bool) -> str | None:
    """What it means that a run's raw log-variance passed HIGH_LOGVAR; None where it did not.

    largest: over the run. bounded: whether the model bounds it (`model.logvar_bound`).
    """
    if largest <= HIGH_LOGVAR:
        return None
    if bounded:
        return f"it passed {HIGH_LOGVAR:g}, as in most runs of the preset: the bound keeps it from doing harm"
    return f"it passed {HIGH_LOGVAR:g} and nothing bounds it: --set model.logvar_bound=soft does"


def _show_end(home: Home, name: str, trial: FrozenTrial, bounded: bool) -> None:
    from sweep.report.samples import draw

    view = TrialView(trial)
    path = home.trial_folder(name, trial.number) / "samples.png"
    draw(home, name, trial.number, SAMPLES, seed=0).save(path)
    print(f"objective: {trial.values[0]:.2f} on the validation tiles (epoch {view.best_epoch})")
    border, steps = view.number_of("lr/border"), view.number_of("lr/border_search_steps")
    if border is not None:
        print(f"           at a share of the border, {border:.2g}, found in {steps:.0f} steps")
    largest = view.number_of("stability/max_logvar")
    if largest is not None:
        print(f"largest raw log-variance of the run: {largest:.1f}")
        if warning := logvar_warning(largest, bounded):
            print(f"warning: {warning}", file=sys.stderr)
    print(f"samples:   {path}")


def _show_next(command: str) -> None:
    print("\nnext:")
    print(f"  {command}")
    what = "sweeps depth and learning rate around it" if " depth_study " in command else "maps its border"
    print(f"                                             {what}")
    print("  python -m sweep ui                         shows the run, its curves and pictures")
    print("  the same command again                     trains another with a fresh seed")


def sweep_command(name: str, plan: Plan, scale: str, options: Options) -> str:
    """The command that sweeps depth and learning rate around a run, with its other settings kept.

    Of a network that is not ours, the one that maps its border.
    """
    searched = {"model.encoder_depth", "model.decoder_depth", "optim.lr", "optim.lr_border_fraction"}
    kept = {"model.logvar_bound", "optim.lr_warmup_fraction", "optim.skip", *options.settings} - searched
    base = flatten(plan.base.model_dump(mode="json"))
    study = "depth_study" if isinstance(plan.base.model, ModelConfig) else "border_study"
    words = [f"python -m sweep run {study}", f"--name around_{name}", f"--scale {scale}"]
    if options.data is not None or "data.source" in kept:
        words.append(f"--data {shlex.quote(base['data.source'])}")
    for path in sorted(kept - {"data.source"}):
        value = base.get(path)
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"--set {shlex.quote(f'{path}={text}')}")
    return " ".join(words)
