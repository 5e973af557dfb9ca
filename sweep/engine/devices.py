"""Which GPU each worker sees, decided before anything imports torch."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import UserError

GPU_NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
SMI_TIMEOUT_S = 10.0


def place(gpus: Sequence[str], workers: int | None, per_gpu: int, cores: int) -> list[str]:
    """CUDA_VISIBLE_DEVICES of every worker: `per_gpu` on each GPU in turn; without a GPU, one per core.

    workers: their number, where it is given; they share the GPUs as evenly as possible.

    An empty value hides every GPU from torch.
    """
    if not gpus:
        return [""] * (workers or cores)
    return [gpus[number % len(gpus)] for number in range(workers or per_gpu * len(gpus))]


def visible_gpus(device: str | None, found: Sequence[str] | None = None) -> list[str]:
    """The GPUs to use, each as CUDA_VISIBLE_DEVICES names it; empty for the CPU.

    device: None or auto (all GPUs), cpu, cuda, or a list such as cuda:0,1, whose numbers count the GPUs that
        CUDA_VISIBLE_DEVICES shows.
    found: the GPUs of this machine; None looks for them.

    Raises:
        UserError: `device` is none of these, or names a GPU that is not there.
    """
    if device == "cpu":
        return []
    found = list(_gpus() if found is None else found)
    if device in (None, "auto"):
        return found
    assert device is not None
    kind, _, numbers = device.partition(":")
    if kind != "cuda" or (numbers and not all(n.isdigit() for n in numbers.split(","))):
        raise UserError(f"the device {device!r} is not possible: write auto, cpu, cuda, or cuda:0,1")
    wanted = [int(n) for n in numbers.split(",")] if numbers else list(range(len(found)))
    if not found or any(n >= len(found) for n in wanted):
        raise UserError(f"the device {device} names a GPU that is not there ({len(found)} found)")
    return [found[n] for n in wanted]


def _gpus() -> list[str]:
    if sys.platform == "linux" and not any(Path(node).exists() for node in GPU_NODES):
        return []  # saves the 1.5 s that importing torch takes
    import torch

    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return shown.split(",")[:count] if shown else [str(n) for n in range(count)]


def free_bytes(gpu: str) -> float | None:
    """Memory of a GPU that is free; None where nvidia-smi does not say.

    torch would have to open the device, and keep half a gigabyte of it, to know.

    gpu: as CUDA_VISIBLE_DEVICES names it.
    """
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", gpu]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=SMI_TIMEOUT_S, check=True)
        return float(done.stdout.strip()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
