"""The options that several commands share, each with its name, limits and help text."""

import re
from enum import StrEnum
from typing import Annotated

import typer

from sweep.engine.options import MOST_LANES
from sweep.errors import UserError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def parse_duration(text: str, option: str = "--timeout") -> float:
    """`90s`, `30m`, `2h` or plain seconds -> seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise UserError(f"{option} {text!r} is not a duration: write 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[match[2]]


def parse_budget(text: str) -> float:
    return parse_duration(text, "--budget")


StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a study, or path to a module that defines one.")
]
StoredName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study in the store.")]
Scale = Annotated[
    str | None,
    typer.Option(help="smoke, laptop or paper. Default: paper with a GPU, laptop without."),
]
Data = Annotated[
    str | None, typer.Option(help="Folder of images. Default: the scenes that come with the program.")
]
DataHere = Annotated[str | None, typer.Option("--data", help="Folder of the study's images on this machine.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting as path=value, such as model.latent_dim=64. Repeatable."),
]
Name = Annotated[str | None, typer.Option(help="Name of the study in the store. Default: its own name.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, or GPUs by number: cuda:0,1.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the sampler and of the trials.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", parser=parse_duration, metavar="TIME", help="Start no more trials after 90s, 30m, 2h..."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        parser=parse_budget,
        metavar="TIME",
        help="End in that time, with its claims as decided as they then are: 20m, 4h...",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes. Default: one per GPU, or one per core.")
]
WorkersPerGpu = Annotated[int, typer.Option(min=1, help="Number of workers that share a GPU.")]
Lanes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_LANES,
        help="Trials that each worker trains at the same time. Default: 1 on a CPU, on a GPU what pays.",
    ),
]
MaxFailures = Annotated[int, typer.Option(min=1, help="Give up after this many failed trials in a row.")]
MaxRetries = Annotated[int, typer.Option(min=0, help="How many times a failed trial is repeated.")]
Storage = Annotated[
    str | None,
    typer.Option(
        help="Database of the trials: postgresql+psycopg://... Default: SWEEP_STORAGE, or a sqlite file."
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(help="MLflow server: http://... Default: SWEEP_TRACKING_URI, or a sqlite file."),
]
CheckpointUri = Annotated[
    str | None,
    typer.Option(
        help="Where other machines find checkpoints: s3://... Default: SWEEP_CHECKPOINT_URI, or nowhere."
    ),
]
Tracker = Annotated[
    str | None,
    typer.Option(help="What records the runs: mlflow, files or wandb. Default: SWEEP_TRACKER, or mlflow."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


class ExportFormat(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
