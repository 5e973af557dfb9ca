"""The `train` command: one run with the stable preset, recorded as a study of its own."""

import itertools
import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console

from sweep.cli.progress import Display
from sweep.cli.run import check_arms
from sweep.cli.terminal import print_json
from sweep.engine.devices import visible_gpus
from sweep.engine.limits import EXIT_FAILED
from sweep.engine.run import Options, load_tiles, run_study
from sweep.store.home import Home
from sweep.store.storage import open_optuna, stored_names
from sweep.store.summary import finite_trials, outcome_of, summarise
from sweep.study import Plan, load_preset
from sweep.study.config import TrialConfig, flatten, parse_settings
from sweep.tracking.registration import identity_of

HIGH_LOGVAR = 12.0
"""The raw log-variance of prototypes passed it before they blew up. It foretells nothing by itself: most
runs of `one_run_study` that broke nowhere passed it too, with the bound and without."""
SAMPLES = 64


def train_command(
    *,
    scale: str | None,
    data: str | None,
    settings: list[str],
    seed: int,
    device: str | None,
    name: str | None,
    storage: str | None,
    tracking_uri: str | None,
    checkpoint_uri: str | None,
    as_json: bool,
) -> int:
    """Returns the exit code: 1 also where the run diverged.

    Raises:
        UserError: nothing was run.
    """
    study, under_sgd = load_preset()
    chosen = parse_settings(settings) | ({} if data is None else {"data.source": data})
    if chosen.get("optim.optimizer") == "sgd":
        given_rate = {"optim.lr_border_fraction"} if "optim.lr" in chosen else set()
        chosen = {k: v for k, v in under_sgd.items() if k not in given_rate} | chosen
    gpus = visible_gpus(device)
    scale = scale or ("paper" if gpus else "laptop")
    plan = study.plan(scale).with_settings(chosen)
    check_arms(plan, device)
    home = Home.find(storage, tracking_uri, checkpoint_uri).create()
    display = Display(Console(stderr=as_json), quiet=as_json)
    name = name or _free_name(study.name, plan, scale, home)
    for line in reasons(plan.base):
        display.say(line)
    options = Options(scale=scale, workers=1, device=device, seed=seed, name=name)
    finished = run_study(study, plan, options, home, display)
    if as_json:
        print_json(summarise(finished.study).as_dict())
    if finished.stopped:
        print(f"ended early: {finished.stopped}; the same command goes on", file=sys.stderr)
    if finished.exit_code != 0 or finished.stopped:
        return finished.exit_code
    ended = finished.study.get_trials(deepcopy=False)[-1]
    if not finite_trials([ended]):
        print(f"the run ended as {outcome_of(ended)}: {ended.user_attrs.get('reason', '')}", file=sys.stderr)
        return EXIT_FAILED
    if not as_json:
        bounded = plan.base.model.logvar_bound != "none"
        _show_end(home, name, ended, around(name, plan, scale, chosen), bounded)
    return 0


def reasons(config: TrialConfig) -> list[str]:
    """What the preset does, and why the run is stable with it, in sentences; only what is in force."""
    optim = config.optim
    said = [f"one run of {config.epochs} epochs at depth {_depths(config)}, no sweep:"]
    if config.model.logvar_bound == "soft":
        said.append("  the encoder's log-variance is 10 tanh(lv / 10): it cannot blow the sampled code up")
    if optim.lr_border_fraction is not None:
        said.append(
            f"  {optim.optimizer} at {optim.lr_border_fraction:g} of the rate at which short runs blow up"
        )
    else:
        said.append(f"  {optim.optimizer} at {optim.lr:g}")
    if optim.lr_warmup_fraction:
        said.append(
            f"  the rate rises over the first {optim.lr_warmup_fraction:.0%} of the steps: the first ones, "
            "of a fresh network, are the likeliest to diverge"
        )
    if optim.lr_schedule == "wsd" and optim.lr_decay_fraction:
        said.append(
            f"  and falls to 0 over the last {optim.lr_decay_fraction:.0%}, which takes its noise out"
        )
    if optim.controller != "none":
        said.append(f"  the controller {optim.controller} scales the rate as the run goes")
    if optim.guard == "rollback":
        said.append("  where a spike is the weights' fault they are taken back, and the rate is halved")
    if optim.skip == "nonfinite":
        said.append("  a step whose gradient is not finite is passed over, five in a row at most")
    return said


def _depths(config: TrialConfig) -> str:
    encoder, decoder = config.model.encoder_depth, config.model.decoder_depth
    return str(encoder) if encoder == decoder else f"{encoder} and {decoder}"


def _free_name(first: str, plan: Plan, scale: str, home: Home) -> str:
    """train, or train-2, ...: the first that is free or holds runs of the same settings, scale and data."""
    store = open_optuna(home)
    wanted = json.loads(json.dumps(identity_of(plan, load_tiles(plan, home), scale)))
    for number in itertools.count(1):
        name = first if number == 1 else f"{first}-{number}"
        if name not in stored_names(store):
            return name
        attrs = store.get_study_user_attrs(store.get_study_id_from_name(name))
        # Killed before it was linked to its run, it has no identity yet.
        if json.loads(attrs.get("identity", "null")) in (wanted, None):
            return name
    raise AssertionError("the numbers have no end")


def caution(largest: float, bounded: bool) -> str | None:
    """What a raw log-variance above HIGH_LOGVAR means for a model with or without a bound; None below it."""
    if largest <= HIGH_LOGVAR:
        return None
    if bounded:
        return f"it passed {HIGH_LOGVAR:g}, as in most runs of the preset: the bound keeps it from doing harm"
    return f"it passed {HIGH_LOGVAR:g} and nothing bounds it: --set model.logvar_bound=soft does"


def _show_end(home: Home, name: str, trial: FrozenTrial, command: str, bounded: bool) -> None:
    from sweep.report.samples import draw

    attrs = trial.user_attrs
    path = home.trial_folder(name, trial.number) / "samples.png"
    draw(home, name, trial.number, SAMPLES, seed=0).save(path)
    print(f"objective: {trial.values[0]:.2f} on the validation tiles (epoch {attrs['best_epoch']})")
    if "lr/border" in attrs:
        steps = attrs["lr/border_search_steps"]
        print(f"           at a share of the border, {attrs['lr/border']:.2g}, found in {steps} steps")
    largest = attrs.get("stability/max_logvar")
    if largest is not None:
        print(f"largest raw log-variance of the run: {largest:.1f}")
        if warning := caution(largest, bounded):
            print(f"warning: {warning}", file=sys.stderr)
    print(f"samples:   {path}")
    print("\nnext:")
    print(f"  {command}")
    print("                                             sweeps depth and learning rate around it")
    print("  python -m sweep ui                         the run, its curves and pictures")
    print("  the same command again                     trains another with a fresh seed")


def around(name: str, plan: Plan, scale: str, chosen: Mapping[str, Any]) -> str:
    """The command that sweeps depth and learning rate about the run, with all else that makes it."""
    searched = {"model.encoder_depth", "model.decoder_depth", "optim.lr", "optim.lr_border_fraction"}
    kept = {"model.logvar_bound", "optim.lr_warmup_fraction", "optim.skip", *chosen} - searched
    base = flatten(plan.base.model_dump(mode="json"))
    words = ["python -m sweep run depth_study", f"--name around_{name}", f"--scale {scale}"]
    if "data.source" in kept:
        words.append(f"--data {shlex.quote(base['data.source'])}")
    for path in sorted(kept - {"data.source"}):
        text = base[path] if isinstance(base[path], str) else json.dumps(base[path])
        words.append(f"--set {shlex.quote(f'{path}={text}')}")
    return " ".join(words)
