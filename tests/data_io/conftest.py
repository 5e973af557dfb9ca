"""Small synthetic images, and the bundled scenes cut once for all tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_io import DataConfig, TileSet, prepare

WriteImage = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """write_image(path, height, width, seed=0, **save): write an image of coloured noise, each value >= 1."""

    def write(path: Path, height: int, width: int, seed: int = 0, **save: object) -> Path:
        pixels = np.random.default_rng(seed).integers(1, 256, (height, width, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, **save)
        return path

    return write


@pytest.fixture
def folder(tmp_path: Path, write_image: WriteImage) -> Path:
    """A folder with two scenes of 3 x 4 and 4 x 3 blocks of 2 x 2 tiles of 16 px, 4 px apart."""
    write_image(tmp_path / "images" / "north.png", 104, 140, seed=1)
    write_image(tmp_path / "images" / "south.png", 140, 104, seed=2)
    return tmp_path / "images"


@pytest.fixture
def small(folder: Path) -> DataConfig:
    """Settings that fit `folder`: 96 tiles in 24 blocks."""
    return DataConfig(source=str(folder), tile_size=16, block_tiles=2, gap=4)


@pytest.fixture(scope="session")
def sample_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="session")
def sample_tiles(sample_cache: Path) -> TileSet:
    """The bundled scenes with the default settings."""
    return prepare(DataConfig(), sample_cache)
