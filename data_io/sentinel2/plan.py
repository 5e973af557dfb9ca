"""Decide which acquisitions to fetch: list squares and dates, read each scene's quality, filter."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from data_io.errors import DataError
from data_io.sentinel2.catalogue import Catalogue, Part, Scene
from data_io.sentinel2.config import FetchConfig
from data_io.sentinel2.failures import DeniedError, NotFoundError, StoreError
from data_io.sentinel2.manifest import Entry
from data_io.sentinel2.report import Reporter
from data_io.sentinel2.selection import Candidate, examine, rejection

EARLIEST = date(2015, 6, 1)
"""Sentinel-2A was launched in June 2015."""

BATCH = 512
"""How many scenes are judged at a time if their number is limited."""


@dataclass
class Plan:
    """What a fetch will do.

    wanted, rest: acquisitions that pass the filters and those that do not, each as its candidates, the newest
        processing first.
    entries: of scenes that cannot be used. failures: a sentence for everything that could not be read.
    """

    wanted: list[list[Candidate]] = field(default_factory=list)
    rest: list[list[Candidate]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def make_plan(
    config: FetchConfig,
    catalogue: Catalogue,
    known: Mapping[str, Entry],
    executor: Executor,
    reporter: Reporter,
) -> Plan:
    """List the scenes in question, read their quality, and sort them into a plan.

    Raises DataError when the bucket cannot be listed, or refuses every read.
    """
    result = Plan()
    scenes = _list_scenes(config, catalogue, executor, reporter, result.failures)
    reporter.stage("Reading quality", len(scenes))
    for batch in _batches(scenes, config.limit):
        found = examine(catalogue, batch, known, executor, config.again, reporter.advance)
        result.failures += found.failures
        result.entries += found.entries
        for group in found.acquisitions:
            passes = not rejection(group[0].judgement, config.max_cloud, config.max_nodata)
            (result.wanted if passes else result.rest).append(group)
        if config.limit and len(result.wanted) >= config.limit:
            del result.wanted[config.limit :]
            break
    return result


def _list_scenes(
    config: FetchConfig,
    catalogue: Catalogue,
    executor: Executor,
    reporter: Reporter,
    failures: list[str],
) -> list[Scene]:
    first = max(config.first, EARLIEST)
    last = min(config.last, datetime.now(UTC).date() + timedelta(days=1))
    try:
        parts = catalogue.parts(list(config.squares), first, last)
    except StoreError as error:
        raise DataError(str(error)) from error
    reporter.stage("Listing", len(parts))
    scenes = []
    futures = [executor.submit(part.find) for part in parts]
    for future, part in zip(futures, parts, strict=True):
        scenes += _result_of(future, part, failures)
        reporter.advance()
    wanted = (scene for scene in scenes if config.first <= scene.day <= config.last)
    return sorted(wanted, key=lambda scene: (scene.day, scene.name))


def _result_of(future: Future[list[Scene]], part: Part, failures: list[str]) -> list[Scene]:
    try:
        return future.result()
    except (DeniedError, NotFoundError) as error:
        raise DataError(str(error)) from error
    except StoreError as error:
        failures.append(f"listing {part.name}: {error}")
        return []


def _batches(scenes: list[Scene], limit: int | None) -> Iterator[list[Scene]]:
    """All scenes at once or, if there is a limit, batches of whole days, as a few of them may reach it."""
    if not limit:
        yield scenes
        return
    batch: list[Scene] = []
    for scene in scenes:
        if len(batch) >= BATCH and scene.day != batch[-1].day:
            yield batch
            batch = []
        batch.append(scene)
    if batch:
        yield batch
