"""Which acquisitions a fetch wants: list its squares and dates, read the quality, filter."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from data_io.errors import DataError
from data_io.sentinel2.catalogue import Catalogue, Listing, Scene, find
from data_io.sentinel2.config import FetchConfig
from data_io.sentinel2.manifest import Entry
from data_io.sentinel2.progress import Reporter
from data_io.sentinel2.s3 import DeniedError, NotFoundError, Store, StoreError
from data_io.sentinel2.selection import Candidate, examine, rejection
from data_io.sentinel2.squares import Square

EARLIEST = date(2015, 6, 1)
"""Sentinel-2A was launched in June 2015."""

BATCH = 512
"""Scenes judged at a time where there is a limit."""


@dataclass
class Plan:
    """wanted, rest: acquisitions that pass the limits and those that do not, each with its candidates, the
    newest first. entries: of scenes that can be neither. failures: sentences about what could not be read."""

    wanted: list[list[Candidate]] = field(default_factory=list)
    rest: list[list[Candidate]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def plan(
    config: FetchConfig,
    catalogue: Catalogue,
    store: Store,
    known: Mapping[str, Entry],
    executor: Executor,
    reporter: Reporter,
) -> Plan:
    """Raises DataError when the bucket, or every read, is refused."""
    result = Plan()
    scenes = _list(config, catalogue, store, executor, reporter, result.failures)
    reporter.stage("Reading quality", len(scenes))
    for batch in _batches(scenes, config.limit):
        found = examine(store, catalogue, batch, known, executor, config.again, reporter.advance)
        result.failures += found.failures
        result.entries += found.entries
        for group in found.acquisitions:
            passes = not rejection(group[0].judgement, config.max_cloud, config.max_nodata)
            (result.wanted if passes else result.rest).append(group)
        if config.limit and len(result.wanted) >= config.limit:
            del result.wanted[config.limit :]
            break
    return result


def _list(
    config: FetchConfig,
    catalogue: Catalogue,
    store: Store,
    executor: Executor,
    reporter: Reporter,
    failures: list[str],
) -> list[Scene]:
    first = max(config.first, EARLIEST)
    last = min(config.last, datetime.now(UTC).date() + timedelta(days=1))
    squares: set[Square] = set()
    for area in config.squares:
        try:
            squares |= {area} if area.letters else set(catalogue.squares(store, area))
        except StoreError as error:
            raise DataError(str(error)) from error
    listings = [listing for square in sorted(squares) for listing in catalogue.listings(square, first, last)]
    reporter.stage("Listing", len(listings))
    scenes = []
    futures = [executor.submit(find, store, catalogue, listing) for listing in listings]
    for future, listing in zip(futures, listings, strict=True):
        scenes += _listed(future, listing, failures)
        reporter.advance()
    wanted = (scene for scene in scenes if config.first <= scene.day <= config.last)
    return sorted(wanted, key=lambda scene: (scene.day, scene.name))


def _listed(future: Future[list[Scene]], listing: Listing, failures: list[str]) -> list[Scene]:
    try:
        return future.result()
    except (DeniedError, NotFoundError) as error:
        raise DataError(str(error)) from error
    except StoreError as error:
        failures.append(f"listing {listing.prefix}: {error}")
        return []


def _batches(scenes: list[Scene], limit: int | None) -> Iterator[list[Scene]]:
    """All scenes at once, or whole days one after the other while a limit may be reached."""
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
