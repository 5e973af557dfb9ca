"""Which GPU each worker sees, decided before anything imports torch."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import UserError

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place(gpus: Sequence[str], workers: int | None, per_gpu: int, cores: int) -> list[str]:
    """CUDA_VISIBLE_DEVICES of every worker: `per_gpu` on each GPU in turn, or one a core without a GPU.

    With `workers` so many, the GPUs shared among them as evenly as it goes. An empty value hides every GPU:
    torch then finds none even if it is built for them.
    """
    if not gpus:
        return [""] * (workers or cores)
    return [gpus[number % len(gpus)] for number in range(workers or per_gpu * len(gpus))]


def visible_gpus(device: str | None, found: Sequence[str] | None = None) -> list[str]:
    """What CUDA_VISIBLE_DEVICES of each worker's GPU should hold; empty for the CPU.

    device: None or auto (every GPU there is), cpu, cuda, or a list like cuda:0,1, which counts among those
        that CUDA_VISIBLE_DEVICES shows.
    found: the GPUs there are; None looks.

    Raises:
        UserError: it is none of these, or asks for a GPU that is not there.
    """
    if device == "cpu":
        return []
    found = list(_gpus() if found is None else found)
    if device in (None, "auto"):
        return found
    assert device is not None
    kind, _, numbers = device.partition(":")
    if kind != "cuda" or (numbers and not all(n.isdigit() for n in numbers.split(","))):
        raise UserError(f"--device {device!r} is not possible: write auto, cpu, cuda, or cuda:0,1")
    wanted = [int(n) for n in numbers.split(",")] if numbers else list(range(len(found)))
    if not found or any(n >= len(found) for n in wanted):
        raise UserError(f"--device {device} asks for a GPU that is not there ({len(found)} found)")
    return [found[n] for n in wanted]


def _gpus() -> list[str]:
    if sys.platform == "linux" and not any(Path(node).exists() for node in GPU_NODES):
        return []  # without the second and a half that importing torch takes
    import torch

    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return shown.split(",")[:count] if shown else [str(n) for n in range(count)]
