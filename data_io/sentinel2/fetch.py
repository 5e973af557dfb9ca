"""Fetch Sentinel-2 scenes from S3 into a folder: find, filter, download, verify, record."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from data_io.errors import DataError
from data_io.home import require_locks
from data_io.sentinel2.access import session_of
from data_io.sentinel2.catalogue import Catalogue
from data_io.sentinel2.collect import Collected, Collector
from data_io.sentinel2.config import FetchConfig
from data_io.sentinel2.convert import BadImageError
from data_io.sentinel2.decoder import Decoder
from data_io.sentinel2.download import StoppedError
from data_io.sentinel2.failures import StoreError
from data_io.sentinel2.images import Images
from data_io.sentinel2.l2a import BUCKET, L2A, REGION, SIDES
from data_io.sentinel2.manifest import WORK, Entry, Manifest
from data_io.sentinel2.plan import make_plan
from data_io.sentinel2.ranges import RangeImages
from data_io.sentinel2.remote import CLOUD_REGION, Remote
from data_io.sentinel2.report import Quiet, Report, Reporter, cost
from data_io.sentinel2.s3 import Store
from data_io.sentinel2.selection import Candidate, rejection
from data_io.sentinel2.stac import Stac
from data_io.sentinel2.traffic import Traffic
from data_io.sentinel2.whole import WholeImages


def fetch(config: FetchConfig, reporter: Reporter | None = None) -> Report:
    """Download the wanted scenes into `config.out`, and bring its manifest up to date.

    It may be killed at any moment and called again, by several processes at once too, and always ends with
    the same content in the folder. Raises DataError, before anything is fetched, for mistakes of the user's.
    """
    reporter = reporter or Quiet()
    manifest = Manifest(config.out)
    known = _load_known(manifest, config)
    stop = threading.Event()
    with ThreadPoolExecutor(config.threads) as executor, Decoder(config.processes) as decoder:
        catalogue, images = _open(config, decoder, stop, reporter)
        try:
            return _Run(config, catalogue, images, manifest, known, executor, stop, reporter).run()
        except BaseException:
            stop.set()
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _open(
    config: FetchConfig, decoder: Decoder, stop: threading.Event, reporter: Reporter
) -> tuple[Catalogue, Images]:
    access = config.access(CLOUD_REGION if config.source == "cogs" else REGION)
    if config.source == "cogs":
        if config.profile or config.endpoint_url or config.requester_pays:
            session_of(access)  # refuses what it cannot use before anything is searched
        traffic = Traffic()
        remote = Remote(access, traffic, reporter.received)
        return Stac(config.stac_access(), config.resolution, traffic), RangeImages(
            remote, decoder, config.resolution, config.side, config.keep_jp2, config.processes, stop
        )
    store = Store(BUCKET, access)
    side = config.side or SIDES[config.resolution]
    return L2A(store, config.resolution), WholeImages(
        store, decoder, L2A.suffix, side, config.keep_jp2, stop, reporter.received
    )


@dataclass
class _Run:
    """One call of `fetch`: what it works with, and what it has found out so far."""

    config: FetchConfig
    catalogue: Catalogue
    images: Images
    manifest: Manifest
    known: dict[str, Entry]
    executor: Executor
    stop: threading.Event
    reporter: Reporter
    failures: list[str] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.collector = Collector(self.config, self.catalogue, self.images, self.manifest, self.stop)

    def run(self) -> Report:
        """Plan, download and report."""
        planned = make_plan(self.config, self.catalogue, self.known, self.executor, self.reporter)
        self.failures += planned.failures
        entries = [self._kept_or(entry) for entry in planned.entries]
        there = [group for group in planned.wanted if self._is_there(group)]
        missing = [group for group in planned.wanted if not self._is_there(group)]
        self.decisions.update(entry.decision for entry in entries)
        downloaded = gets = 0
        size = sum(group[0].scene.image.size for group in missing if group[0].scene.image)
        if self.config.dry_run:
            self.decisions.update(self._expected_decisions(planned.wanted + planned.rest))
            size, gets = self._sizes(missing)
        else:
            try:
                self.config.out.mkdir(parents=True, exist_ok=True)
                require_locks(self.config.out, "--out")
                self.manifest.append(e for e in entries if self.known.get(e.scene) != e)
            except OSError as error:
                raise DataError(
                    f"{self.config.out} cannot be written ({error.strerror or error}): name another --out"
                ) from error
            self._settle_unfetched(planned.rest + there)
            downloaded = self._download(missing)
            self._remove_finished(self.manifest.compact())
        traffic = self.catalogue.traffic
        estimate = Counter(traffic.requests)
        estimate["GET"] += gets
        expected = traffic.received + (size if self.config.dry_run else 0)
        return Report(
            decisions=dict(sorted(self.decisions.items())),
            downloaded=downloaded,
            already_there=len(there),
            to_download=len(missing),
            to_download_bytes=size,
            failures=self.failures,
            requests=dict(traffic.requests),
            received_bytes=traffic.received,
            estimated_requests=dict(estimate),
            estimated_bytes=expected,
            cost_requester_pays=cost(estimate, expected),
            unsigned=self.catalogue.unsigned,
            dry_run=self.config.dry_run,
            out=str(self.config.out),
        )

    def _kept_or(self, entry: Entry) -> Entry:
        """`entry`, unless the scene's image is in the folder: that stays, whatever the bucket has now."""
        known = self.known.get(entry.scene)
        if known and known.decision == "kept" and known.file and (self.config.out / known.file).exists():
            return known
        return entry

    def _sizes(self, groups: list[list[Candidate]]) -> tuple[int, int]:
        """How many bytes, in how many requests, the images of these acquisitions are."""
        futures = {group[0].scene: self.executor.submit(self.images.size, group[0].scene) for group in groups}
        size = gets = 0
        for scene, future in futures.items():
            try:
                count, requests = future.result()
            except (StoreError, BadImageError) as error:
                self.failures.append(f"{scene.name}: {self.catalogue.address(scene.image_key)}: {error}")
                continue
            size, gets = size + count, gets + requests
        return size, gets

    def _is_there(self, group: list[Candidate]) -> bool:
        return self.collector.has(group[0], self.known.get(group[0].scene.name))

    def _expected_decisions(self, groups: list[list[Candidate]]) -> Counter[str]:
        count: Counter[str] = Counter()
        for group in groups:
            rejected = rejection(group[0].judgement, self.config.max_cloud, self.config.max_nodata)
            count[rejected[0] if rejected else "kept"] += 1
            count["duplicate"] += len(group) - 1
        return +count

    def _settle_unfetched(self, groups: list[list[Candidate]]) -> None:
        """Record acquisitions that need no download; images of earlier calls with higher limits stay."""
        changed = []
        for group in groups:
            for entry in self.collector.decide(group, self.known):
                self.decisions[entry.decision] += 1
                if self.known.get(entry.scene) != entry:
                    changed.append(entry)
        self.manifest.append(changed)

    def _remove_finished(self, entries: dict[str, Entry]) -> None:
        """Remove downloads of kept scenes: a process killed just after recording one leaves it behind."""
        for entry in entries.values():
            if entry.decision == "kept" and entry.etag:
                self.images.partial(self.config.out / WORK, entry.scene, entry.etag).unlink(missing_ok=True)

    def _download(self, groups: list[list[Candidate]]) -> int:
        self.reporter.stage("Downloading", len(groups))
        downloaded, untried = 0, 0
        for future in _as_they_finish(self.executor, self.collector.settle, groups, 2 * self.config.threads):
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
            self.failures.append(f"{untried} scenes were not tried after that; run the command again")
        return downloaded


def _as_they_finish(
    executor: Executor,
    call: Callable[[list[Candidate]], Collected],
    groups: list[list[Candidate]],
    ahead: int,
) -> Iterator[Future[Collected]]:
    """Futures in the order in which they finish; at most `ahead` are submitted, so that stopping is quick."""
    waiting = iter(groups)
    pending = {executor.submit(call, group) for group in islice(waiting, ahead)}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        pending |= {executor.submit(call, group) for group in islice(waiting, len(done))}
        yield from done


def _load_known(manifest: Manifest, config: FetchConfig) -> dict[str, Entry]:
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
