"""The public face: few names, cheap to import."""

import subprocess
import sys
from importlib.resources import files

import pytest

import data_io


def test_every_public_name_is_there_and_listed() -> None:
    for name in data_io.__all__:
        assert getattr(data_io, name).__name__ == name
    assert set(data_io.__all__) <= set(dir(data_io))


def test_the_package_says_that_it_is_typed() -> None:
    assert files("data_io").joinpath("py.typed").is_file()


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = (
        "import sys, data_io, data_io.config, data_io.__main__; data_io.DataConfig(); data_io.DataError('x');"
        "from data_io.sources import list_images; list_images('sample');"
        "print([name for name in ('torch', 'numpy', 'PIL', 'psutil', 'filelock') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        data_io.nothing_here  # noqa: B018
