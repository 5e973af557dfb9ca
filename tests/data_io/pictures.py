"""Pictures and GeoTIFFs for tests: small, smooth, and with enough contrast to be kept."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning


def picture(
    seed: int, height: int = 64, width: int = 64, bands: int = 3, top: int = 255, dtype: Any = np.uint8
) -> NDArray[Any]:
    """(height, width, bands) of values from 1 to `top`: a grid of random values, enlarged."""
    coarse = np.random.default_rng(seed).random((-(-height // 8), -(-width // 8), bands))
    fine = coarse.repeat(8, 0).repeat(8, 1)[:height, :width]
    return (1 + fine * (top - 1)).astype(dtype)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    """With Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def geotiff(
    path: Path,
    values: NDArray[Any],
    mask: NDArray[np.bool_] | None = None,
    driver: str = "GTiff",
    names: tuple[str, ...] = (),
    **options: Any,
) -> Path:
    """With GDAL. values: (height, width, bands). mask: what holds data. names: of the bands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    profile = {"height": height, "width": width, "count": count, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", driver=driver, **profile, **options) as file,
        ):
            file.write(np.moveaxis(values, 2, 0))
            if names:
                file.descriptions = names
            if mask is not None:
                file.write_mask(mask)
    return path


def half(height: int, width: int) -> NDArray[np.bool_]:
    """True in the right half."""
    mask = np.zeros((height, width), bool)
    mask[:, width // 2 :] = True
    return mask
