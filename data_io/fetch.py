"""Fetch Sentinel-2 scenes from S3 into a folder: find, filter, download, verify, record."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from data_io.catalogue import L2A, RESOLUTIONS, Catalogue, Listing, Scene, find
from data_io.cogs import Cogs
from data_io.collect import Collected, Collector
from data_io.costs import cost
from data_io.decoder import Decoder
from data_io.download import StoppedError, partial_path
from data_io.errors import DataError
from data_io.manifest import WORK, Entry, Manifest
from data_io.s3 import Access, DeniedError, NotFoundError, Store, StoreError
from data_io.selection import Candidate, examine, rejection
from data_io.squares import Square

EARLIEST = date(2015, 6, 1)
"""Sentinel-2A was launched in June 2015."""

BATCH = 512
"""Scenes judged at a time where there is a limit."""


class FetchConfig(BaseModel):
    """What to fetch, how and where to.

    first, last: days of sensing, both included. max_cloud, max_nodata: per cent; the limits pass.
    resolution: metres. limit: scenes to have in the end. threads: requests at once. processes: decoders.
    keep_jp2: keep the bucket's files and do not convert to PNG. again: also scenes known as corrupt.
    side: pixels that an image must have a side, where not a whole scene's.
    attempts, connect_timeout, read_timeout: of a request; seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    squares: tuple[Square, ...] = Field(min_length=1)
    first: date
    last: date
    out: Path
    max_cloud: float = Field(default=5, ge=0, le=100, allow_inf_nan=False)
    max_nodata: float = Field(default=5, ge=0, le=100, allow_inf_nan=False)
    resolution: Literal[60, 20, 10] = 60
    source: Literal["l2a", "cogs"] = "l2a"
    limit: int | None = Field(default=None, ge=1)
    threads: int = Field(default=16, ge=1, le=256)
    processes: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1, le=256)
    keep_jp2: bool = False
    again: bool = False
    dry_run: bool = False
    requester_pays: bool = False
    unsigned: bool = False
    endpoint_url: str | None = None
    profile: str | None = None
    side: int | None = Field(default=None, ge=1)
    attempts: int = Field(default=6, ge=1, le=100)
    connect_timeout: float = Field(default=10, gt=0)
    read_timeout: float = Field(default=30, gt=0)

    @field_validator("first", "last", mode="before")
    @classmethod
    def _a_date(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            try:
                return date.fromisoformat(value)
            except ValueError as error:
                raise ValueError("give a date such as 2022-05-01") from error
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"--from {self.first} is after --to {self.last}: exchange them")
        if self.requester_pays and self.unsigned:
            raise ValueError("--requester-pays and --unsigned exclude each other: give one of them")
        if self.source == "cogs" and self.keep_jp2 and self.resolution != 10:
            raise ValueError("--source cogs has 10 m only: give --resolution 10, or leave --keep-jp2 out")
        return self


class Report(BaseModel):
    """What a fetch did. decisions: of all scenes in its scope. failures: a sentence each."""

    decisions: dict[str, int]
    downloaded: int = 0
    already_there: int = 0
    to_download: int = 0
    to_download_bytes: int = 0
    failures: list[str]
    requests: dict[str, int]
    received_bytes: int
    estimated_requests: dict[str, int]
    estimated_bytes: int
    cost_requester_pays: float
    cost_otherwise: float = 0.0
    unsigned: bool
    dry_run: bool
    out: str


class Reporter(Protocol):
    """Hears of the progress, from several threads."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def received(self, count: int) -> None: ...


class Quiet:
    """Says nothing."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self) -> None: ...
    def received(self, count: int) -> None: ...


def fetch(config: FetchConfig, reporter: Reporter | None = None) -> Report:
    """Bring the wanted scenes into `config.out`, and its manifest up to date.

    May be killed at any moment and called again, also by several processes at once, and then ends in the
    same folder. Raises DataError for what the user can mend before anything is fetched.
    """
    reporter = reporter or Quiet()
    catalogue: Catalogue = Cogs() if config.source == "cogs" else L2A(config.resolution)
    manifest = Manifest(config.out)
    known = _known(manifest, config)
    store = Store(catalogue.bucket, _access(config, catalogue.region))
    stop = threading.Event()
    with ThreadPoolExecutor(config.threads) as executor, Decoder(config.processes) as decoder:
        try:
            return _Run(config, catalogue, store, manifest, known, executor, decoder, stop, reporter).run()
        except BaseException:
            stop.set()
            executor.shutdown(wait=False, cancel_futures=True)
            raise


class _Run:
    def __init__(
        self,
        config: FetchConfig,
        catalogue: Catalogue,
        store: Store,
        manifest: Manifest,
        known: dict[str, Entry],
        executor: Executor,
        decoder: Decoder,
        stop: threading.Event,
        reporter: Reporter,
    ) -> None:
        self.config, self.catalogue, self.store, self.manifest = config, catalogue, store, manifest
        self.known, self.executor, self.stop, self.reporter = known, executor, stop, reporter
        self.failures: list[str] = []
        self.decisions: Counter[str] = Counter()
        reduce = config.resolution // catalogue.resolution
        self.collector = Collector(
            store=store,
            catalogue=catalogue,
            manifest=manifest,
            folder=config.out,
            decoder=decoder,
            resolution=config.resolution,
            side=config.side or RESOLUTIONS[config.resolution],
            reduce=reduce,
            keep=config.keep_jp2,
            max_cloud=config.max_cloud,
            max_nodata=config.max_nodata,
            stop=stop,
            received=reporter.received,
        )

    def run(self) -> Report:
        scenes = self._list()
        wanted, rest, entries = self._select(scenes)
        there = [group for group in wanted if self._there(group)]
        missing = [group for group in wanted if not self._there(group)]
        self.decisions.update(entry.decision for entry in entries)
        downloaded = 0
        images = [group[0].scene.image for group in missing]
        size = sum(image.size for image in images if image)
        if not self.config.dry_run:
            try:
                self.config.out.mkdir(parents=True, exist_ok=True)
                self.manifest.append(e for e in entries if self.known.get(e.scene) != e)
            except OSError as error:
                raise DataError(
                    f"{self.config.out} cannot be written ({error.strerror or error}): name another --out"
                ) from error
            self._settle_unfetched(rest + there)
            downloaded = self._download(missing)
            self._tidy(self.manifest.compact())
        else:
            self.decisions.update(self._foreseen(wanted + rest))
        estimate = Counter(self.store.requests)
        if self.config.dry_run:
            estimate["GET"] += len(missing)
        received = self.store.received
        expected = received + size if self.config.dry_run else received
        return Report(
            decisions=dict(sorted(self.decisions.items())),
            downloaded=downloaded,
            already_there=len(there),
            to_download=len(missing),
            to_download_bytes=size,
            failures=self.failures,
            requests=dict(self.store.requests),
            received_bytes=received,
            estimated_requests=dict(estimate),
            estimated_bytes=expected,
            cost_requester_pays=cost(estimate, expected),
            unsigned=self.store.unsigned,
            dry_run=self.config.dry_run,
            out=str(self.config.out),
        )

    def _list(self) -> list[Scene]:
        first = max(self.config.first, EARLIEST)
        last = min(self.config.last, datetime.now(UTC).date() + timedelta(days=1))
        squares: set[Square] = set()
        for area in self.config.squares:
            try:
                squares |= {area} if area.letters else set(self.catalogue.squares(self.store, area))
            except StoreError as error:
                raise DataError(str(error)) from error
        listings = [
            listing for square in sorted(squares) for listing in self.catalogue.listings(square, first, last)
        ]
        self.reporter.stage("Listing", len(listings))
        scenes = []
        futures = [self.executor.submit(find, self.store, self.catalogue, listing) for listing in listings]
        for future, listing in zip(futures, listings, strict=True):
            scenes += self._listed(future, listing)
            self.reporter.advance()
        return sorted(scenes, key=lambda scene: (scene.day, scene.name))

    def _listed(self, future: Future[list[Scene]], listing: Listing) -> list[Scene]:
        try:
            return [scene for scene in future.result() if self.config.first <= scene.day <= self.config.last]
        except (DeniedError, NotFoundError) as error:
            raise DataError(str(error)) from error
        except StoreError as error:
            self.failures.append(f"listing {listing.prefix}: {error}")
            return []

    def _select(
        self, scenes: list[Scene]
    ) -> tuple[list[list[Candidate]], list[list[Candidate]], list[Entry]]:
        """Acquisitions that are wanted, those that are not, and entries of scenes that are neither."""
        self.reporter.stage("Reading quality", len(scenes))
        wanted: list[list[Candidate]] = []
        rest: list[list[Candidate]] = []
        entries: list[Entry] = []
        for batch in self._batches(scenes):
            found = examine(
                self.store,
                self.catalogue,
                batch,
                self.known,
                self.executor,
                self.config.again,
                self.reporter.advance,
            )
            self.failures += found.failures
            entries += [self._unless_kept(entry) for entry in found.entries]
            for group in found.acquisitions:
                judged = group[0].judgement
                passes = not rejection(judged, self.config.max_cloud, self.config.max_nodata)
                (wanted if passes else rest).append(group)
            if self.config.limit and len(wanted) >= self.config.limit:
                return wanted[: self.config.limit], rest, entries
        return wanted, rest, entries

    def _unless_kept(self, entry: Entry) -> Entry:
        """An image that is in the folder stays, whatever becomes of the bucket's."""
        known = self.known.get(entry.scene)
        if known and known.decision == "kept" and known.file and (self.config.out / known.file).exists():
            return known
        return entry.model_copy(update={"resolution": self.config.resolution})

    def _batches(self, scenes: list[Scene]) -> Iterator[list[Scene]]:
        """All scenes at once, or whole days one after the other while a limit may be reached."""
        if not self.config.limit:
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

    def _there(self, group: list[Candidate]) -> bool:
        return self.collector.has(group[0], self.known.get(group[0].scene.name))

    def _foreseen(self, groups: list[list[Candidate]]) -> Counter[str]:
        count: Counter[str] = Counter()
        for group in groups:
            rejected = rejection(group[0].judgement, self.config.max_cloud, self.config.max_nodata)
            count[rejected[0] if rejected else "kept"] += 1
            count["duplicate"] += len(group) - 1
        return +count

    def _settle_unfetched(self, groups: list[list[Candidate]]) -> None:
        """Entries of acquisitions that need no download; images of earlier, laxer calls stay."""
        changed = []
        for group in groups:
            for entry in self.collector.decide(group, self.known):
                self.decisions[entry.decision] += 1
                if self.known.get(entry.scene) != entry:
                    changed.append(entry)
        self.manifest.append(changed)

    def _tidy(self, entries: dict[str, Entry]) -> None:
        """Remove the downloads of scenes that are kept: a process killed just after its line leaves one."""
        for entry in entries.values():
            if entry.decision == "kept" and entry.etag:
                partial_path(self.config.out / WORK, entry.scene, entry.etag).unlink(missing_ok=True)

    def _download(self, groups: list[list[Candidate]]) -> int:
        self.reporter.stage("Downloading", len(groups))
        downloaded, untried = 0, 0
        for future in _in_order(self.executor, self.collector.settle, groups, 2 * self.config.threads):
            try:
                done: Collected = future.result()
            except StoppedError:
                untried += 1
                continue
            finally:
                self.reporter.advance()
            self.decisions.update(entry.decision for entry in done.entries)
            self.failures += done.failures
            downloaded += done.downloaded
        if untried:
            self.failures.append(f"{untried} scenes were not tried after this; run the command again")
        return downloaded


def _in_order(
    executor: Executor,
    call: Callable[[list[Candidate]], Collected],
    groups: list[list[Candidate]],
    ahead: int,
) -> Iterator[Future[Collected]]:
    """Futures as they end, with at most `ahead` submitted, so that stopping leaves a short queue."""
    waiting = iter(groups)
    pending = {executor.submit(call, group) for group in islice(waiting, ahead)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        pending |= {executor.submit(call, group) for group in islice(waiting, len(done))}
        yield from done


def _known(manifest: Manifest, config: FetchConfig) -> dict[str, Entry]:
    try:
        if config.out.exists() and not config.out.is_dir():
            raise DataError(f"--out {config.out} is a file: name a folder")
        known = manifest.entries()
    except NotADirectoryError as error:
        raise DataError(f"--out {config.out} lies under a file: name a folder") from error
    except OSError as error:
        raise DataError(
            f"{manifest.path} cannot be read ({error.strerror}): check its permissions"
        ) from error
    for entry in known.values():
        if (entry.source, entry.resolution) != (config.source, config.resolution):
            raise DataError(
                f"{config.out} holds scenes of --source {entry.source} --resolution {entry.resolution}: give "
                "these, or another --out"
            )
    return known


def _access(config: FetchConfig, region: str) -> Access:
    return Access(
        region=region,
        endpoint_url=config.endpoint_url,
        profile=config.profile,
        unsigned=config.unsigned,
        requester_pays=config.requester_pays,
        threads=config.threads,
        attempts=config.attempts,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
    )
