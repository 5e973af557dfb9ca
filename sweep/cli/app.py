"""The command line: every command with its options. Heavy imports are inside the command that needs them."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sweep import __version__
from sweep.cli.options import (
    Budget,
    CheckpointUri,
    Data,
    DataHere,
    Device,
    ExportFormat,
    Json,
    Lanes,
    MaxFailures,
    MaxRetries,
    Name,
    Scale,
    Seed,
    Settings,
    Storage,
    StoredName,
    StudyName,
    Timeout,
    Tracker,
    TrackingUri,
    Workers,
    WorkersPerGpu,
)
from sweep.engine.options import Executor, Options
from sweep.errors import UserError
from sweep.store.home import Home

app = typer.Typer(
    help="Train variational autoencoders over a search space and map where training is stable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the studies that can be run, and those in the store."""
    from sweep.cli import commands

    commands.list_studies(as_json)


@app.command()
def run(
    study: StudyName,
    scale: Scale = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials to add.")] = None,
    blocks: Annotated[
        int | None, typer.Option(min=1, help="Number of blocks to have in the end, decided or not.")
    ] = None,
    budget_s: Budget = None,
    timeout_s: Timeout = None,
    workers: Workers = None,
    device: Device = None,
    data: Data = None,
    settings: Settings = None,
    seed: Seed = 0,
    name: Name = None,
    max_failures: MaxFailures = 3,
    max_retries: MaxRetries = 2,
    workers_per_gpu: WorkersPerGpu = 1,
    lanes: Lanes = None,
    strategy: Annotated[
        str | None, typer.Option(help="How to map a border: mapper, grid, random, sobol or tpe.")
    ] = None,
    use_map: Annotated[
        bool, typer.Option("--map/--no-map", help="Search learning rates inside a border mapped before.")
    ] = True,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
    tracker: Tracker = None,
    executor: Annotated[Executor, typer.Option(help="Where the workers run.")] = Executor.LOCAL,
    ray_address: Annotated[
        str | None, typer.Option(help="Address of the Ray cluster. Default: the one on this machine.")
    ] = None,
    slurm: Annotated[
        list[str] | None,
        typer.Option(help="What Slurm's jobs get, as KEY=VALUE, such as partition=gpu. Repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Show the plan and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run a study, or continue it with more trials."""
    from sweep.cli.run import run_command
    from sweep.study.config import parse_settings

    options = Options(
        scale=scale,
        data=data,
        settings=parse_settings(settings or []),
        strategy=strategy,
        use_map=use_map,
        name=name,
        trials=trials,
        blocks=blocks,
        seed=seed,
        timeout_s=_shortest(budget_s, timeout_s),
        workers=workers,
        workers_per_gpu=workers_per_gpu,
        lanes=lanes,
        device=device,
        max_failures=max_failures,
        max_retries=max_retries,
        executor=executor,
        ray_address=ray_address,
        slurm=tuple(slurm or ()),
    )
    home = Home.find(storage, tracking_uri, checkpoint_uri, tracker)
    raise typer.Exit(run_command(study, options, home, dry_run, as_json))


@app.command()
def train(
    data: Data = None,
    scale: Scale = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the run.")] = 0,
    device: Device = None,
    name: Name = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
    tracker: Tracker = None,
    as_json: Json = False,
) -> None:
    """Train one good model with the stable preset, without a sweep."""
    from sweep.cli.train import train_command
    from sweep.study.config import parse_settings

    options = Options(
        scale=scale,
        data=data,
        settings=parse_settings(settings or []),
        use_map=False,
        name=name,
        seed=seed,
        workers=1,
        lanes=1,
        device=device,
    )
    home = Home.find(storage, tracking_uri, checkpoint_uri, tracker)
    raise typer.Exit(train_command(options, home, as_json))


@app.command()
def worker(
    study: StoredName,
    workers: Workers = None,
    workers_per_gpu: WorkersPerGpu = 1,
    lanes: Lanes = None,
    device: Device = None,
    data: DataHere = None,
    timeout_s: Timeout = None,
    max_failures: MaxFailures = 3,
    max_retries: MaxRetries = 2,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
    tracker: Tracker = None,
) -> None:
    """Join a study that others run, from any machine."""
    from sweep.cli.run import worker_command

    options = Options(
        data=data,
        timeout_s=timeout_s,
        workers=workers,
        workers_per_gpu=workers_per_gpu,
        lanes=lanes,
        device=device,
        max_failures=max_failures,
        max_retries=max_retries,
    )
    home = Home.find(storage, tracking_uri, checkpoint_uri, tracker)
    raise typer.Exit(worker_command(study, options, home))


@app.command()
def status(study: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Count a study's trials by state and outcome, and show the best one."""
    from sweep.cli import commands

    commands.status(study, Home.find(storage), as_json)


@app.command()
def stop(study: StudyName, storage: Storage = None) -> None:
    """Ask everyone who runs a study to finish the running trials and start no more."""
    from sweep.cli import commands

    commands.stop(study, Home.find(storage))


@app.command()
def replay(
    study: StoredName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="Number of the trial.")],
    data: DataHere = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Run a finished trial again from its stored config, and compare every metric."""
    from sweep.cli import commands

    raise typer.Exit(commands.replay(study, trial, data, Home.find(storage, tracking_uri), as_json))


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired.")] = False,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Check that this machine can run studies, and that trials, runs and files agree."""
    from sweep.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(Home.find(storage, tracking_uri), fix, as_json))


@app.command()
def report(study: StudyName, as_json: Json = False) -> None:
    """Write a study's report as one HTML page, and log it to the study's run."""
    from sweep.cli import commands

    commands.report(study, as_json)


@app.command()
def foretell(
    study: StudyName,
    scale: Scale = None,
    data: Data = None,
    settings: Settings = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Foretell the learning rate at which each arm's training breaks, in seconds and without a run."""
    from sweep.cli.foretell import foretell_command
    from sweep.study.config import parse_settings

    given = parse_settings(settings or [])
    options = Options(scale=scale, data=data, settings=given, seed=seed, use_map=False)
    foretell_command(study, options, Home.find(), as_json)


@app.command("map")
def map_command(study: StudyName, as_json: Json = False) -> None:
    """Print the map of a border study, and write it as JSON, PNG and HTML."""
    from sweep.cli import commands

    commands.border_map(study, as_json)


@app.command()
def generate(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="Number of the trial. Default: the best.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Number of samples.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 0,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("samples.png"),
) -> None:
    """Draw samples from a trial's decoder into one picture."""
    from sweep.cli import commands

    commands.generate(study, trial, count, seed, out)


@app.command()
def export(
    study: StudyName,
    form: Annotated[ExportFormat, typer.Option("--format", help="Format of the file.")] = ExportFormat.CSV,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: stdout, or STUDY.parquet.")
    ] = None,
) -> None:
    """Write a study's trials as a table: parameters, objective, outcome, run."""
    from sweep.cli import commands

    commands.export(study, form, out)


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 5000,
    dashboard_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8080,
) -> None:
    """Serve the MLflow UI and the Optuna dashboard on this machine, until Ctrl-C."""
    from sweep.cli.ui import serve

    raise typer.Exit(serve(mlflow_port, dashboard_port))


def _shortest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _refuse(message: str) -> NoReturn:
    from sweep.store.secrets import redact

    print(f"sweep: {redact(message)}", file=sys.stderr)
    raise SystemExit(2)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2, never a traceback."""
    command: Any = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="sweep", standalone_mode=False)
    except typer.Abort:  # Ctrl-C where no trials run
        raise SystemExit(130) from None
    except UserError as error:
        _refuse(" ".join(str(error).split()))
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own: an unknown option, a value of the wrong kind
            message = error.format_message().replace("\n", " ")
            if message:
                _refuse(message)
            raise SystemExit(2) from None  # without a command, click has shown the help
        raise
    raise SystemExit(code if isinstance(code, int) else 0)
