"""What `auto` means on this machine, and whether it can compile.

torch is imported where it is needed: a command line asks for `needs_compiler` and should not wait for it.
"""

import os
import shutil
from typing import TYPE_CHECKING

from vae.config import TrainConfig

if TYPE_CHECKING:
    import torch


def needs_compiler(mode: str) -> str | None:
    """Why `compile` cannot be `mode` for a CPU here, as a sentence; None if it can."""
    if mode == "none" or shutil.which(os.environ.get("CXX", "g++")):
        return None
    return f"compile={mode} needs a C++ compiler: g++, or the one that CXX names"


def slow_precision(config: TrainConfig) -> str | None:
    """Why `config` would train slowly here, as a sentence; None if it would not.

    torch is imported only where bfloat16 is asked for.
    """
    if config.precision != "bfloat16":
        return None
    import torch

    device = "cuda" if config.device == "auto" and torch.cuda.is_available() else config.device
    where = torch.device("cpu" if device == "auto" else device)
    if _has_fast_bfloat16(where):
        return None
    return (
        f"this {'GPU' if where.type == 'cuda' else 'processor'} has no bfloat16: precision=float32 is faster"
    )


def resolve(config: TrainConfig) -> TrainConfig:
    """The same config with device, precision, memory format and threads made explicit.

    Raises:
        ValueError: the CUDA device does not exist, or there is no compiler to compile with.
    """
    import torch

    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = torch.device(device)
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {device} is not there: {torch.cuda.device_count()} CUDA devices found")
    if where.type == "cpu" and (missing := needs_compiler(config.compile)):
        raise ValueError(missing)
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if _has_fast_bfloat16(where) else "float32"
    # Channels last pays everywhere: a float32 step on a CPU is 1.2x as fast, its batch norm four times.
    memory_format = "channels_last" if config.memory_format == "auto" else config.memory_format
    return config.model_copy(
        update={
            "device": device,
            "precision": precision,
            "memory_format": memory_format,
            "step": (
                ("graph" if where.type == "cuda" else "eager") if config.step == "auto" else config.step
            ),
            "threads": config.threads or torch.get_num_threads(),
        }
    )


def prepare(config: TrainConfig) -> None:
    """Set what holds for the whole process: threads, and on a GPU what makes its sums the same every time.

    config: one that `resolve` gave.
    """
    import torch

    torch.set_num_threads(config.threads or torch.get_num_threads())
    if torch.device(config.device).type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        # precision=float32 says float32: cuDNN's default for convolutions is TF32, with 10 bits of mantissa.
        torch.backends.cudnn.allow_tf32 = False


def _has_fast_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
