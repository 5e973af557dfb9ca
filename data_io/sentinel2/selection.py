"""Read the quality of listed scenes, group those of one acquisition, and say which are wanted."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from dataclasses import asdict, dataclass, field

from data_io.errors import DataError
from data_io.sentinel2.catalogue import Catalogue, Judgement, Scene
from data_io.sentinel2.failures import DeniedError, StoreError
from data_io.sentinel2.manifest import Decision, Entry
from data_io.sentinel2.metadata import MetadataError

HOPELESS = 8
"""After so many refusals (403) and no other answer, no further scene is read."""


@dataclass(frozen=True)
class Candidate:
    """A scene whose image exists and whose documents could be read."""

    scene: Scene
    judgement: Judgement

    @property
    def rank(self) -> tuple[str, str, int]:
        """Higher is newer: by baseline, processing time in the product's name, then sequence number."""
        processed = self.judgement.product.rpartition("_")[2]
        return self.judgement.baseline or "", processed, self.scene.sequence


@dataclass
class Examined:
    """What was found out about scenes.

    acquisitions: the candidates of each square and sensing time, the newest processing first.
    entries: of scenes that cannot be candidates, with the reason.
    failures: a sentence for everything that could not be read.
    """

    acquisitions: list[list[Candidate]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def examine(
    catalogue: Catalogue,
    scenes: Iterable[Scene],
    known: Mapping[str, Entry],
    executor: Executor,
    again: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> Examined:
    """Judge scenes; for documents that have not changed, from what the manifest recorded about them.

    again: also read what is known to be corrupt. Raises DataError when the bucket refuses every read.
    """
    result = Examined()
    candidates: list[Candidate] = []
    pending = {}
    for scene in scenes:
        entry = known.get(scene.name)
        if scene.metadata is None or scene.image is None:
            key = scene.metadata_key if scene.metadata is None else scene.image_key
            result.entries.append(entry_of(scene, catalogue, "missing", f"{key} is not in the bucket"))
        elif entry and not again and is_known_corrupt(entry, scene):
            result.entries.append(entry)
        elif entry and (judgement := _recorded_judgement(entry, scene)):
            candidates.append(Candidate(scene, judgement))
        else:
            pending[executor.submit(catalogue.judge, scene)] = scene
            continue
        advance()
    refused = 0
    for future in as_completed(pending):
        scene = pending[future]
        advance()
        try:
            judgement = future.result()
            catalogue.acquisition(judgement)
        except MetadataError as error:
            reason = f"{scene.metadata_key} is unusable: {error}"
            result.entries.append(entry_of(scene, catalogue, "corrupt", reason))
            result.failures.append(f"{scene.name}: {reason}")
        except StoreError as error:
            refused += isinstance(error, DeniedError)
            if refused in {HOPELESS, len(pending)} and not candidates:
                for other in pending:
                    other.cancel()
                raise DataError(str(error)) from error
            result.entries.append(entry_of(scene, catalogue, "missing", f"not read: {error}"))
            result.failures.append(f"{scene.name}: {error}")
        else:
            candidates.append(Candidate(scene, judgement))
    result.acquisitions = acquisitions(catalogue, candidates)
    return result


def acquisitions(catalogue: Catalogue, candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Candidates by acquisition, in the order of sensing; within a group, the newest first."""
    groups: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        moment = catalogue.acquisition(candidate.judgement)
        groups[moment, candidate.scene.square.name].append(candidate)
    return [
        sorted(groups[key], key=lambda c: (catalogue.coverage(c.judgement), c.rank), reverse=True)
        for key in sorted(groups)
    ]


def rejection(judgement: Judgement, max_cloud: float, max_nodata: float) -> tuple[Decision, str] | None:
    """The reason why a scene is not wanted, or None if it is. A scene at a limit passes."""
    if judgement.nodata_percent > max_nodata:
        return "nodata", f"{judgement.nodata_percent} % nodata, more than {max_nodata:g} %"
    if judgement.cloud_percent > max_cloud:
        return "cloudy", f"{judgement.cloud_percent} % cloud, more than {max_cloud:g} %"
    return None


def entry_of(
    scene: Scene, catalogue: Catalogue, decision: Decision, reason: str, judgement: Judgement | None = None
) -> Entry:
    """The manifest's entry for a scene; of a kept one without what is known after the download."""
    entry = Entry(
        scene=scene.name,
        source=catalogue.name,
        resolution=catalogue.resolution,
        key=scene.image_key,
        decision=decision,
        reason=reason,
        etag=scene.image.etag if scene.image and not reason.startswith("not ") else None,
        metadata_etag=scene.metadata.etag if scene.metadata and not reason.startswith("not read") else None,
    )
    return entry if judgement is None else entry.model_copy(update=asdict(judgement))


def is_known_corrupt(entry: Entry, scene: Scene) -> bool:
    """Whether an earlier fetch found these same objects corrupt."""
    if entry.decision != "corrupt" or scene.metadata is None or scene.image is None:
        return False
    if entry.sensing_time is None:  # it was its document that was corrupt
        return entry.metadata_etag == scene.metadata.etag
    return entry.etag == scene.image.etag


def _recorded_judgement(entry: Entry, scene: Scene) -> Judgement | None:
    if scene.metadata is None or entry.metadata_etag != scene.metadata.etag:
        return None
    if entry.sensing_time is None or entry.cloud_percent is None or entry.nodata_percent is None:
        return None
    return Judgement(
        entry.sensing_time, entry.baseline, entry.product or "", entry.cloud_percent, entry.nodata_percent
    )
