"""The command `fetch`: its options, its progress bar, and what it prints."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from data_io.sentinel2.report import Report

OPTION_OF = {"first": "--from", "last": "--to", "collections": "--collection"}
"""The option of each field of FetchConfig that is named otherwise."""

SHOWN_FAILURES = 50


def fetch(
    context: typer.Context,
    squares: Annotated[
        str,
        typer.Option(
            "--squares",
            help="MGRS squares (32ULA,32ULB), a zone and band (32U), or paper (the 43 squares that the paper "
            "names; it speaks of 47).",
        ),
    ],
    first: Annotated[str, typer.Option("--from", help="First day of sensing, such as 2022-05-01.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the images and their manifest.jsonl.")],
    last: Annotated[str | None, typer.Option("--to", help="Last day of sensing (today).")] = None,
    max_cloud: Annotated[
        float, typer.Option("--max-cloud", help="Largest cloud cover, in % of the valid pixels.")
    ] = 5,
    max_nodata: Annotated[
        float, typer.Option("--max-nodata", help="Largest nodata area, in % of all pixels.")
    ] = 5,
    resolution: Annotated[
        int,
        typer.Option(
            "--resolution", help="Metres that a pixel covers: 60, 20 or 10; from cogs also 40, 80, 160 ..."
        ),
    ] = 60,
    source: Annotated[
        str | None,
        typer.Option("--source", help="l2a (bucket sentinel-s2-l2a) or cogs (GeoTIFFs found by STAC). [l2a]"),
    ] = None,
    stac: Annotated[
        str | None, typer.Option("--stac", help="STAC API of cogs, if not Earth Search v1.")
    ] = None,
    collections: Annotated[
        list[str] | None, typer.Option("--collection", help="Collection of the STAC API; repeatable.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="Largest number of scenes, the earliest first.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", help="Requests at once.")] = 16,
    processes: Annotated[
        int | None, typer.Option("--processes", help="Processes that decode images (cores, at most 4).")
    ] = None,
    keep_jp2: Annotated[
        bool, typer.Option("--keep-jp2", help="Keep the bucket's files instead of converting them to PNG.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try scenes again that an earlier fetch found corrupt.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what a fetch would download and cost; write nothing."),
    ] = False,
    requester_pays: Annotated[
        bool, typer.Option("--requester-pays", help="Let your AWS account pay for requests and bytes.")
    ] = False,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Send no credentials.")] = False,
    endpoint_url: Annotated[
        str | None, typer.Option("--endpoint-url", help="Another S3 server, such as http://127.0.0.1:8333.")
    ] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Profile of ~/.aws/config.")] = None,
    side: Annotated[
        int | None, typer.Option("--side", help="Pixels along a side of an image.", hidden=True)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find, filter, download, verify and record scenes. Exit code 1 if a scene failed after its retries."""
    from data_io.sentinel2.config import FetchConfig
    from data_io.sentinel2.fetch import fetch as fetch_scenes
    from data_io.sentinel2.squares import parse_squares

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # what fails after all retries is reported anyway
    given = {name: context.params[name] for name in FetchConfig.model_fields if name in context.params}
    settings = {
        "source": "cogs" if stac or collections else "l2a",
        "last": datetime.now(UTC).date(),
        **{name: value for name, value in given.items() if value is not None},
        "squares": parse_squares(squares),
    }
    config = FetchConfig.model_validate(settings)
    with _progress() as progress:
        report = fetch_scenes(config, _BarReporter(progress))
    if as_json:
        print(report.model_dump_json())
    else:
        _show(report)
    if report.failures:
        _show_failures(report.failures)
        raise typer.Exit(1)


def _show(report: "Report") -> None:
    decisions = ", ".join(f"{count} {decision}" for decision, count in report.decisions.items())
    sent = sum(report.requests.values())
    print(f"scenes in scope: {sum(report.decisions.values())}{f' ({decisions})' if decisions else ''}")
    if report.dry_run:
        requests = sum(report.estimated_requests.values())
        lists = report.estimated_requests["LIST"]
        print(f"a fetch would download {report.to_download} scenes, {_size(report.to_download_bytes)}")
        print(f"requests: {requests:,} ({lists:,} LIST), bytes: {_size(report.estimated_bytes)}")
        print(
            f"cost: ${report.cost_requester_pays:.4f} with Requester Pays, "
            f"${report.cost_otherwise:.2f} without ({_prices()})"
        )
        print(f"this dry run sent {sent:,} requests, received {_size(report.received_bytes)}, wrote nothing")
        return
    if report.downloaded or report.failures:
        print(
            f"downloaded {report.downloaded} scenes into {report.out}; "
            f"{report.already_there} were there already"
        )
    elif report.already_there:
        print(f"nothing to download: all {report.already_there} wanted scenes are in {report.out}")
    else:
        print("nothing to download: no scene passes")
    print(f"{sent:,} requests, {_size(report.received_bytes)} received")


def _show_failures(failures: list[str]) -> None:
    import sys

    print(f"error: {len(failures)} failures:", file=sys.stderr)
    for failure in failures[:SHOWN_FAILURES]:
        print(f"  {failure}", file=sys.stderr)
    if len(failures) > SHOWN_FAILURES:
        print(f"  and {len(failures) - SHOWN_FAILURES} more; the manifest has them all", file=sys.stderr)


def _prices() -> str:
    from data_io.sentinel2.report import PER_GB_OUT, PER_GET, PER_LIST, PRICED_ON

    return (
        f"prices of {PRICED_ON}, eu-central-1: ${PER_LIST * 1000:g} per 1,000 LIST, ${PER_GET * 1000:g} per "
        f"1,000 GET, ${PER_GB_OUT:g} per GB to the internet"
    )


def _size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def _progress() -> "Progress":
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[received]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class _BarReporter:
    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._bytes = 0

    def stage(self, name: str, total: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task(name, total=total, received="")

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)

    def received(self, count: int) -> None:
        self._bytes += count
        if self._task is not None:
            self._progress.update(self._task, received=_size(self._bytes))
