"""The command line. Heavy imports are inside the command that needs them: --help answers at once."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sweep.errors import UserError

app = typer.Typer(
    help="Train variational autoencoders over a search space and map where training is stable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class ExportFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


class Executor(StrEnum):
    LOCAL = "local"
    RAY = "ray"


StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name, or a path to a module.")]
Scale = Annotated[
    str | None, typer.Option(help="smoke, laptop or paper; default: paper with a GPU, laptop without.")
]
Data = Annotated[str | None, typer.Option(help="Folder of images; default: the bundled scenes.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="path=value, as model.latent_dim=64; repeatable.")
]
Name = Annotated[str | None, typer.Option(help="Record under this name in the store.")]
Storage = Annotated[
    str | None,
    typer.Option(help="Of the trials: postgresql+psycopg://...; default SWEEP_STORAGE, or a sqlite file."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(help="Of the runs: http://...; default SWEEP_TRACKING_URI, or a sqlite file."),
]
CheckpointUri = Annotated[
    str | None,
    typer.Option(help="Copies of checkpoints for other machines, as s3://...; default SWEEP_CHECKPOINT_URI."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """The studies that can be run, and those in the store."""
    from sweep.cli import commands

    commands.list_studies(as_json)


@app.command()
def run(
    study: StudyName,
    scale: Scale = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many more trials to run.")] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Start no more trials after this long, as 90s, 30m, 2h.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Default: one a GPU, or one a core.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or cuda:0,1.")] = None,
    data: Data = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sampler and of the trials.")] = 0,
    name: Name = None,
    max_failures: Annotated[int, typer.Option(min=1, help="Give up after so many trials in a row.")] = 3,
    max_retries: Annotated[int, typer.Option(min=0, help="How often a trial that failed is repeated.")] = 2,
    workers_per_gpu: Annotated[int, typer.Option(min=1, help="Workers that share a GPU.")] = 1,
    strategy: Annotated[
        str | None, typer.Option(help="How a border is mapped: mapper, grid, random, sobol or tpe.")
    ] = None,
    use_map: Annotated[
        bool, typer.Option("--map/--no-map", help="Search learning rates inside a mapped border.")
    ] = True,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
    executor: Annotated[Executor, typer.Option(help="Where the workers run.")] = Executor.LOCAL,
    ray_address: Annotated[str | None, typer.Option(help="Of the cluster; default: the one here.")] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would be run, and stop.")] = False,
    as_json: Json = False,
) -> None:
    """Run a study, or continue it with more trials."""
    from sweep.cli import commands

    code = commands.run(
        study,
        scale=scale,
        trials=trials,
        timeout=timeout,
        workers=workers,
        device=device,
        data=data,
        settings=settings or [],
        seed=seed,
        name_in_store=name,
        max_failures=max_failures,
        max_retries=max_retries,
        workers_per_gpu=workers_per_gpu,
        strategy=strategy,
        use_map=use_map,
        storage=storage,
        tracking_uri=tracking_uri,
        checkpoint_uri=checkpoint_uri,
        executor=executor,
        ray_address=ray_address,
        dry_run=dry_run,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def train(
    data: Data = None,
    scale: Scale = None,
    settings: Settings = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the run.")] = 0,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or cuda:0.")] = None,
    name: Name = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
    as_json: Json = False,
) -> None:
    """One run with the stable preset: a good model without a sweep."""
    from sweep.cli.train import train_command

    code = train_command(
        scale=scale,
        data=data,
        settings=settings or [],
        seed=seed,
        device=device,
        name=name,
        storage=storage,
        tracking_uri=tracking_uri,
        checkpoint_uri=checkpoint_uri,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command()
def status(study: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Counts by state and outcome, and the best trial."""
    from sweep.cli import commands

    commands.status(study, storage, as_json)


@app.command()
def worker(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's name in the store.")],
    workers: Annotated[int | None, typer.Option(min=1, help="Default: one a GPU, or one a core.")] = None,
    workers_per_gpu: Annotated[int, typer.Option(min=1, help="Workers that share a GPU.")] = 1,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, or cuda:0,1.")] = None,
    data: Annotated[str | None, typer.Option(help="Where this machine has the study's images.")] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Start no more trials after this long, as 90s, 30m, 2h.")
    ] = None,
    max_failures: Annotated[int, typer.Option(min=1, help="Give up after so many trials in a row.")] = 3,
    max_retries: Annotated[int, typer.Option(min=0, help="How often a trial that failed is repeated.")] = 2,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    checkpoint_uri: CheckpointUri = None,
) -> None:
    """Join a study that others run, from any machine."""
    from sweep.cli import commands

    code = commands.worker(
        study,
        workers=workers,
        workers_per_gpu=workers_per_gpu,
        device=device,
        data=data,
        timeout=timeout,
        max_failures=max_failures,
        max_retries=max_retries,
        storage=storage,
        tracking_uri=tracking_uri,
        checkpoint_uri=checkpoint_uri,
    )
    raise typer.Exit(code)


@app.command()
def replay(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="The study's name in the store.")],
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    data: Annotated[str | None, typer.Option(help="Where this machine has the study's images.")] = None,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Run a finished trial again from its stored config, and compare every metric."""
    from sweep.cli import commands

    raise typer.Exit(commands.replay(study, trial, data, storage, tracking_uri, as_json))


@app.command()
def stop(study: StudyName, storage: Storage = None) -> None:
    """Have all who run a study finish their running trials and start no more."""
    from sweep.cli import commands

    commands.stop(study, storage)


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is found.")] = False,
    storage: Storage = None,
    tracking_uri: TrackingUri = None,
    as_json: Json = False,
) -> None:
    """Check the set-up, and that trials, runs and files agree."""
    from sweep.cli import commands

    raise typer.Exit(commands.doctor(fix, storage, tracking_uri, as_json))


@app.command()
def report(study: StudyName, as_json: Json = False) -> None:
    """Write the study's report as one HTML page and log it to its parent run."""
    from sweep.cli import commands

    commands.report(study, as_json)


@app.command("map")
def map_command(study: StudyName, as_json: Json = False) -> None:
    """The map of a border study: print it, and write it as JSON, PNG and HTML."""
    from sweep.cli import commands

    commands.border_map(study, as_json)


@app.command()
def generate(
    study: StudyName,
    trial: Annotated[int | None, typer.Option(min=0, help="Default: the best one.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000)] = 64,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("samples.png"),
) -> None:
    """Draw samples from a trial's decoder into one picture."""
    from sweep.cli import commands

    commands.generate(study, trial, count, seed, out)


@app.command()
def export(
    study: StudyName,
    form: Annotated[ExportFormat, typer.Option("--format")] = ExportFormat.CSV,
    out: Annotated[Path | None, typer.Option(help="Default: stdout (csv, json) or STUDY.parquet.")] = None,
) -> None:
    """One row a trial: parameters, objective, outcome, run."""
    from sweep.cli import commands

    commands.export(study, form, out)


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 5000,
    dashboard_port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
) -> None:
    """MLflow UI and Optuna dashboard on this machine, until Ctrl-C."""
    from sweep.cli import ui as both

    raise typer.Exit(both.serve(mlflow_port, dashboard_port))


def _refuse(message: str) -> NoReturn:
    from sweep.store.secrets import redact

    print(f"sweep: {redact(message)}", file=sys.stderr)
    raise SystemExit(2)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: a user's mistake is one sentence on stderr and exit code 2, never a traceback."""
    command: Any = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="sweep", standalone_mode=False)
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


if __name__ == "__main__":
    main()
