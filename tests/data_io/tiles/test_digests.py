"""The content hash stays what it was, and files are not read again without need."""

import hashlib
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data_io import DataConfig, prepare
from data_io.sources import list_images
from data_io.sources.file import FileImage
from data_io.tiles import digests
from data_io.tiles.digests import image_facts
from tests.data_io.pictures import geotiff, picture


def test_caches_of_the_sample_made_by_earlier_versions_are_found(tmp_path: Path) -> None:
    content_hash = prepare(DataConfig(), tmp_path).content_hash
    assert content_hash == "ab52fddab8f92569d0ce0b1cb70601fb8a21bbc0a2fe4feae5e91072447de669"
    assert (tmp_path / f"tiles-{content_hash[:16]}" / "meta.json").is_file()


def test_caches_of_a_folder_made_by_earlier_versions_are_found(
    small: DataConfig, folder: Path, tmp_path: Path
) -> None:
    content = {
        "format": 1,
        "images": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in ("north.png", "south.png")
        },
        "settings": {
            "block_tiles": 2,
            "gap": 4,
            "max_nodata_fraction": 0.01,
            "min_std": 6.0,
            "mode": "tile",
            "split_seed": 0,
            "stride": 16,
            "test_fraction": 0.15,
            "tile_size": 16,
            "validation_fraction": 0.15,
        },
    }
    expected = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert prepare(small, tmp_path / "cache").content_hash == expected


def test_an_index_made_by_an_earlier_version_spares_reading(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = {}
    for path in folder.iterdir():
        stat = path.stat()
        stamp = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
        index[str(path.resolve())] = {"stamp": stamp, "sha256": f"that of {path.name}"}
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "digests.json").write_text(json.dumps(index))
    monkeypatch.setattr(FileImage, "digest", lambda image: pytest.fail(f"read {image}"))
    facts = image_facts(list_images(str(folder)), tmp_path / "cache")
    found = {name: fact.digest for name, fact in facts.items()}
    assert found == {
        "north.png": "that of north.png",
        "south.png": "that of south.png",
    }


def test_unchanged_files_are_hashed_once_and_changed_ones_again(
    small: DataConfig, tmp_path: Path, write_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = SimpleNamespace(time_ns=lambda: time.time_ns() + 10**10)
    monkeypatch.setattr(digests, "time", later)  # fresh files are read again, to be on the safe side
    images = list_images(small.source)
    for image in images:
        os.utime(image.file, (1_000_000_000, 1_000_000_000))
    read: list[str] = []
    honest = FileImage.digest
    monkeypatch.setattr(FileImage, "digest", lambda image: read.append(image.name) or honest(image))
    first = image_facts(images, tmp_path / "cache")
    assert image_facts(images, tmp_path / "cache") == first
    assert read == ["north.png", "south.png"]
    write_image(images[0].file, 104, 140, seed=9)
    os.utime(images[0].file, (1_000_000_000, 1_000_000_000))  # same time and size, other bytes
    second = image_facts(images, tmp_path / "cache")
    assert second["north.png"] != first["north.png"]
    assert second["south.png"] == first["south.png"]
    assert read == ["north.png", "south.png", "north.png"]


def test_a_broken_index_of_digests_is_ignored(small: DataConfig, tmp_path: Path) -> None:
    images = list_images(small.source)
    first = image_facts(images, tmp_path / "cache")
    for junk in ("{", "[]", '{"x": 3}', '{"x": {"stamp": 1}}'):
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / digests.INDEX).write_text(junk)
        assert image_facts(images, tmp_path / "cache") == first


def test_images_that_are_now_read_otherwise_have_another_digest_even_where_an_old_index_knows_them(
    tmp_path: Path,
) -> None:
    pixels = picture(1, top=200)
    geotiff(tmp_path / "s" / "marked.tif", pixels, photometric="RGB", nodata=7)
    geotiff(tmp_path / "s" / "plain.tif", pixels, photometric="RGB")
    index = {}
    for path in (tmp_path / "s").iterdir():
        stat = path.stat()
        stamp = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        index[str(path.resolve())] = {"stamp": stamp, "sha256": digest}
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "digests.json").write_text(json.dumps(index))
    facts = image_facts(list_images(str(tmp_path / "s")), tmp_path / "cache")
    found = {name: fact.digest for name, fact in facts.items()}
    old = {Path(path).name: entry["sha256"] for path, entry in index.items()}
    assert found["plain.tif"] == old["plain.tif"]
    assert found["marked.tif"].startswith(old["marked.tif"])
    assert found["marked.tif"] != old["marked.tif"]


def test_headers_are_remembered_and_their_refusals_are_not_worded_in_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 10**10))
    geotiff(tmp_path / "s" / "deep.tif", picture(1, bands=5, top=4000).astype("uint16"))
    images = list_images(str(tmp_path / "s"))
    first = image_facts(images, tmp_path / "cache")
    monkeypatch.setattr(FileImage, "header", lambda image: pytest.fail(f"read {image}"))
    assert image_facts(images, tmp_path / "cache") == first
    header = first["deep.tif"].header
    assert header is not None
    assert header.lacks
    assert "give data" not in (tmp_path / "cache" / digests.INDEX).read_text()
