"""What around a run changes it without a word: variables, the working directory, locks, limits of disks."""

import os
import resource
from collections.abc import Mapping
from pathlib import Path

from sweep.store.home import Home

EFFECTS = {
    "MLFLOW_TRACKING_URI": "is not used: --tracking-uri or SWEEP_TRACKING_URI names a server",
    "MLFLOW_EXPERIMENT_NAME": "is not used: a study has its own experiment",
    "MLFLOW_EXPERIMENT_ID": "is not used: a study has its own experiment",
    "MLFLOW_RUN_ID": "is not used: every trial has its own run",
    "OMP_NUM_THREADS": "is set anew for workers: --set threads=N decides",
    "MKL_NUM_THREADS": "is set anew for workers: --set threads=N decides",
    "CUDA_VISIBLE_DEVICES": "hides GPUs from runs",
    "ONEDNN_MAX_CPU_ISA": "changes the bits of results, and their speed",
    "ATEN_CPU_CAPABILITY": "changes the bits of results, and their speed",
    "MKL_CBWR": "changes the bits of results, and their speed",
    "CUBLAS_WORKSPACE_CONFIG": "changes the bits of results on a GPU",
    "NVIDIA_TF32_OVERRIDE": "changes the bits of results on a GPU",
    "ONEDNN_VERBOSE": "fills the workers' logs",
    "DNNL_VERBOSE": "fills the workers' logs",
    "MKL_VERBOSE": "fills the workers' logs",
    "NCCL_DEBUG": "fills the workers' logs",
    "PYTHONPATH": "may put other packages before the installed ones",
}
PACKAGES = ("sweep", "vae", "data_io", "studies")
FREE_FILES = 10_000
MPS_PIPES = "/tmp/nvidia-mps"
"""CUDA's default (Multi-Process Service documentation, CUDA_MPS_PIPE_DIRECTORY)."""


def telling_variables(environment: Mapping[str, str]) -> list[str]:
    """The variables that are ignored, or that change a run; a clause each, without their values."""
    found = [f"{name} {effect}" for name, effect in EFFECTS.items() if environment.get(name)]
    if "SLURM_JOB_ID" in environment and int(environment.get("SLURM_NTASKS", "1") or 1) > 1:
        found.append("SLURM_NTASKS starts the same command several times: let the others be `sweep worker`")
    return found


def namesakes(folder: Path) -> list[Path]:
    """Files and folders in the working directory that have a package's name and are not the package."""
    own = Path(__file__).resolve().parents[2]
    if folder.resolve() == own:
        return []
    places = [folder / f"{name}.py" for name in PACKAGES] + [
        folder / name / "__init__.py" for name in PACKAGES
    ]
    return [place for place in places if place.exists()]


def mps_runs(environment: Mapping[str, str]) -> bool:
    """Whether CUDA's multi-process service runs here: its control daemon listens at a known place."""
    return (Path(environment.get("CUDA_MPS_PIPE_DIRECTORY") or MPS_PIPES) / "control").exists()


def disk_limits(home: Home) -> list[str]:
    """Limits that a disk with free space may have all the same; a clause each."""
    found = []
    free = os.statvfs(home.root)
    if free.f_files and free.f_favail < FREE_FILES:
        found.append(f"only {free.f_favail} more files can be made")
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY:
        found.append(f"no file may be larger than {most / 2**20:.0f} MiB (ulimit -f)")
    return found
