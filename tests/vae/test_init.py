"""The public face of the package: its names, and when torch is imported."""

import subprocess
import sys

import pytest

import vae


def test_every_public_name_is_there() -> None:
    for name in vae.__all__:
        assert getattr(vae, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        vae.fitt  # noqa: B018


def test_only_what_trains_imports_torch() -> None:
    code = (
        "import sys, vae; from vae import TrainConfig, OptimConfig; TrainConfig(); "
        "before = 'torch' in sys.modules; from vae import fit; print(before, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
