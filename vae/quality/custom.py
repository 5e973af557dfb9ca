"""KID, density and coverage on features from a file of the user's: a TorchScript module."""

import threading
import warnings
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from vae.kinds import file_sha256
from vae.quality.metrics import Metric
from vae.quality.metrics._balls import coverage, density
from vae.quality.metrics._kernel_distance import kernel_distance
from vae.quality.remembering import remembered

BATCH = 16
_loading = threading.Lock()
"""Held while warnings are hidden, since threads share their filters."""


@lru_cache(maxsize=1)
def custom_metrics(path: str, sha256: str) -> dict[str, Metric]:
    """`kid_custom`, `density_custom` and `coverage_custom`; the file must have that SHA-256, in hex.

    The module is given (N, 3, H, W) float32 in [0, 1] on the CPU, tiles of the study's own size, and returns
    (N, D) features; resizing and normalising are its own affair, so that the file says all of it.

    Loading a TorchScript file runs the code in it: take it from a source you trust.

    Raises:
        ValueError: there is no such file, it has another content, or it is no TorchScript module.
    """
    found = file_sha256(path, "quality_features")
    if found != sha256:
        raise ValueError(
            f"the features in {path} have changed since the run was begun (SHA-256 {found[:12]}, not "
            f"{sha256[:12]}): put the old file back, or start another study"
        )
    embed = _embedding(path)
    of_real = remembered(embed)

    def features(real: Tensor, fake: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return of_real(real), embed(fake)

    return {
        "kid_custom": Metric(features, kernel_distance),
        "density_custom": Metric(features, density, better="higher"),
        "coverage_custom": Metric(features, coverage, better="higher"),
    }


def check_features(path: str, sha256: str, size: int) -> None:
    """Raises ValueError, in one sentence, unless the file gives features of tiles of `size` px."""
    features = custom_metrics(path, sha256)["kid_custom"].features
    tiles = torch.arange(2 * 3 * size * size).view(2, 3, size, size).to(torch.uint8)
    features(tiles, tiles, 0)


def _embedding(path: str) -> Callable[[Tensor], Tensor]:
    with _loading, warnings.catch_warnings():
        # torch 2.14 calls all of torch.jit deprecated; it is what others can export to.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            module = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except Exception as error:  # torch raises several kinds of error for a file it cannot read
            raise ValueError(
                f"quality_features={path} is no TorchScript module: write one with torch.jit.trace and save"
            ) from error

    @torch.no_grad()
    def embed(images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> (N, D) float32."""
        rows = []
        for batch in torch.split(images.cpu(), BATCH):
            try:
                found = module(batch.to(torch.float32) / 255)
            except Exception as error:
                last = str(error).strip().rpartition("\n")[2]
                raise ValueError(
                    f"quality_features={path} fails on tiles of shape {tuple(batch.shape)}: {last}"
                ) from error
            if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(batch):
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise ValueError(
                    f"quality_features={path} gives {got} for {len(batch)} tiles, where ({len(batch)}, D) is "
                    "wanted: one row of features an image"
                )
            rows.append(found.to(torch.float32))
        features = torch.cat(rows)
        if not features.isfinite().all():
            raise ValueError(f"quality_features={path} gives features that are not finite")
        return features.to(images.device)

    return embed
