"""Open images as the settings ask: which bands, and one stretch for all images."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing

import numpy as np
from numpy.typing import NDArray

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.images.raster import BandRaster, Raster
from data_io.images.render import Limits, Rendered, check_type, choose_bands
from data_io.reading import Stretch, parse_bands, parse_stretch
from data_io.sources import SourceImage

SAMPLE = 4_000_000
"""Pixels of all images together, about, from which percentiles are taken; of fewer, all count."""

ROWS = 256
"""Rows read at a time."""


def is_plain(config: DataConfig) -> bool:
    """Whether images are shown as they are."""
    return config.bands is None and config.stretch is None


def open_image(image: SourceImage, config: DataConfig, limits: Limits | None) -> Raster:
    """An image as 8-bit RGB, for the caller to close.

    limits: as `resolve` gives them. Raises DataError.
    """
    if is_plain(config):
        return image.open()
    bands = image.open_bands()
    try:
        chosen = choose_bands(bands, parse_bands(config.bands), str(image))
        check_type(bands, limits, str(image))
    except DataError:
        bands.close()
        raise
    if limits and len(limits) > len(chosen):
        chosen *= len(limits)
    elif limits and len(limits) == 1:
        limits = [limits[0]] * len(chosen)
    return Rendered(bands, chosen, limits)


def resolve(
    images: Sequence[SourceImage],
    pixels: int,
    config: DataConfig,
    allowed: Callable[[SourceImage], AbstractContextManager[None]],
) -> tuple[tuple[float, float], ...] | None:
    """The values that become black and white, by band; one pair stands for all bands. None without a stretch.

    pixels: of all images together. allowed: a context that decides what becomes of an image's DataError.

    Raises DataError where images do not fit each other, or have no contrast.
    """
    stretch = parse_stretch(config.stretch)
    if stretch is None:
        return None
    if not stretch.percentiles:
        return ((stretch.low, stretch.high),)
    step = max(1, math.ceil(math.sqrt(pixels / SAMPLE)))
    samples: list[list[NDArray[np.float32]]] = [[], [], []]
    types: dict[str, str] = {}

    for image in images:
        taken = []
        with allowed(image), closing(image.open_bands()) as bands:
            chosen = choose_bands(bands, parse_bands(config.bands), str(image))
            check_type(bands, ((0, 0),), str(image))
            taken = [_sample(bands, chosen, top, step) for top in range(0, bands.height, ROWS)]
            types.setdefault(bands.dtype, str(image))
        for channel, sample in enumerate(samples):
            sample += [part[channel % len(part)] for part in taken]
    if len(types) > 1:
        (one, here), (other, there) = list(types.items())[:2]
        raise DataError(
            f"{here} has values of {one} and {there} of {other}, which no common percentiles fit: take one "
            "kind by data.include (--include), or give data.stretch as two values"
        )
    return tuple(_percentiles(sample, stretch, config) for sample in samples)


def _sample(bands: BandRaster, chosen: Sequence[int], top: int, step: int) -> list[NDArray[np.float32]]:
    values, valid = bands.read(chosen, top, min(top + ROWS, bands.height))
    thinned = slice(-top % step, None, step)
    kept = valid[thinned, ::step]
    return [band[thinned, ::step][kept].astype(np.float32) for band in values]


def _percentiles(
    sample: Sequence[NDArray[np.float32]], stretch: Stretch, config: DataConfig
) -> tuple[float, float]:
    values = np.concatenate([np.empty(0, np.float32), *sample])
    low, high = np.percentile(values, [stretch.low, stretch.high]) if values.size else (0.0, 0.0)
    if not low < high:
        raise DataError(
            f"{config.source} has no contrast between its percentiles {stretch.low:g} and {stretch.high:g}: "
            "give data.stretch as two values, such as 0,3000 (--stretch), or choose other bands"
        )
    return float(low), float(high)
