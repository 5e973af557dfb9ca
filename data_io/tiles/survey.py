"""Look at the headers of all images before any is cut: sizes, places, and those that cannot be used."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.sources import SourceImage
from data_io.tiles.digests import Facts
from data_io.tiles.ground import Ground, corners_of, ground_of
from data_io.tiles.stretch import is_plain


@dataclass(frozen=True)
class Scene:
    """An image to be cut.

    unit_place: of its units; the place, and before it the split that the image's folder names.
    aligned: whether all images of the place have this size, so that equal blocks show equal ground.
    corner: (y, x) in pixels of a patch in its place; None for a whole image.
    """

    image: SourceImage
    place: str
    unit_place: str
    height: int
    width: int
    aligned: bool
    corner: tuple[int, int] | None


class Bad:
    """Images that cannot be used. skip: whether to go on without them. reasons: by name."""

    def __init__(self, skip: bool) -> None:
        self._skip = skip
        self.reasons: dict[str, str] = {}

    @contextmanager
    def allowed(self, image: SourceImage) -> Iterator[None]:
        """Ends at a DataError, whose message is kept as the reason; raises it where bad images stop all."""
        try:
            yield
        except DataError as error:
            if not self._skip:
                raise
            self.reasons[image.name] = str(error)


def survey(
    images: Sequence[SourceImage],
    facts: Mapping[str, Facts],
    config: DataConfig,
    own: Mapping[str, str],
    bad: Bad,
) -> list[Scene]:
    """The images as scenes, so that a mistake shows before minutes of cutting.

    own: the split that the image's folder names, by image; empty where folders name none.

    Raises DataError for an image that cannot be used, unless `bad` takes it.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for image in images:
        with bad.allowed(image):
            sizes[image.name] = _checked_size(image, facts[image.name], config)
    first_by_digest: dict[str, str] = {}
    shows: dict[str, tuple[str, Ground, str]] = {}
    shapes_at: dict[str, set[tuple[int, int, bool]]] = defaultdict(set)
    for name, size in sizes.items():
        # A copy of an image under another name shows the same ground.
        first = first_by_digest.setdefault(facts[name].digest, name)
        ground = ground_of(first)
        unit_place = f"{own[name]}/{ground.place}" if own else ground.place
        shows[name] = first, ground, unit_place
        shapes_at[unit_place].add((*size, ground.row is None))
    corners = corners_of({name: facts[name].origin for name in sizes})
    scenes = []
    for image in images:
        if image.name in sizes:
            (height, width), (first, ground, unit_place) = sizes[image.name], shows[image.name]
            aligned = len(shapes_at[unit_place]) == 1
            corner = corners.get(first) if aligned else None
            if aligned and ground.row is not None and ground.column is not None:
                corner = (ground.row * height, ground.column * width)
            scenes.append(Scene(image, ground.place, unit_place, height, width, aligned, corner))
    return scenes


def _checked_size(image: SourceImage, facts: Facts, config: DataConfig) -> tuple[int, int]:
    header = facts.header or image.header()
    if header.lacks and is_plain(config):
        raise DataError(f"{image} {header.lacks}")
    if config.mode == "tile" and min(header.height, header.width) < config.tile_size:
        raise DataError(
            f"{image} is {header.width} x {header.height} pixels, smaller than a tile of {config.tile_size}: "
            "use mode resize or a smaller tile_size, take it out of the source, or go on without such images "
            "by data.skip_bad (--skip-bad)"
        )
    return header.height, header.width
