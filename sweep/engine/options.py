"""What the user chooses for one run, as data. Imports nothing heavy, for a quick command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_LANES = 32
"""Streams that torch has for a GPU; with more lanes some would share one."""


class Executor(StrEnum):
    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


@dataclass(frozen=True)
class Options:
    """Options of one `run`, `train` or `worker`; None means the default."""

    scale: str | None = None
    """None: the study's only scale, or paper with a GPU and laptop without."""
    data: str | None = None
    """The images; for a worker, where this machine keeps the study's images."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted config path -> value, such as {"model.latent_dim": 64}."""
    strategy: str | None = None
    """How a border study chooses its runs."""
    use_map: bool = True
    """Search learning rates inside a border that another study in the store mapped."""
    name: str | None = None
    """The study's name in the store."""
    trials: int | None = None
    """Explore trials to add; None finishes what an interrupted run left open, or adds the plan's number."""
    seed: int = 0
    blocks: int | None = None
    """Blocks to have in the end, decided or not; None: as many as decide the claims, or time allows."""
    timeout_s: float | None = None
    """Start no more trials after so many seconds, and no block that would not end within them."""
    workers: int | None = None
    """None: one a GPU, or one a core."""
    workers_per_gpu: int = 1
    lanes: int | None = None
    """Trials that each worker trains at the same time; None: 1 on a CPU, on a GPU what pays."""
    device: str | None = None
    max_failures: int = 3
    """Give up after so many trials in a row have failed."""
    max_retries: int = 2
    """How often a trial that failed is repeated."""
    executor: Executor = Executor.LOCAL
    ray_address: str | None = None
    slurm: Sequence[str] = ()
    """KEY=VALUE words for the jobs of Slurm, such as "partition=gpu"."""
