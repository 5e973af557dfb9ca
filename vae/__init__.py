"""Train a convolutional VAE of any depth and measure its stability at every step.

    from vae import TrainConfig, fit

    result = fit(TrainConfig(epochs=3), train, validation)

Tensors in, numbers out: this package knows no data source, no tracker and no sweep. `import vae` costs
nothing, the configs pydantic only; torch loads with the first use of any other name.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae.config import ModelConfig, NetworkConfig, ObjectiveConfig, OptimConfig, ProbeConfig, TrainConfig
    from vae.model.network import VAE
    from vae.model.protocol import Autoencoder, Forward, Network
    from vae.model_config import network_config
    from vae.training.fit import fit
    from vae.training.hooks import Hooks, RunInfo, RunResult
    from vae.training.sources import BatchSource

__all__ = [
    "VAE",
    "Autoencoder",
    "BatchSource",
    "Forward",
    "Hooks",
    "ModelConfig",
    "Network",
    "NetworkConfig",
    "ObjectiveConfig",
    "OptimConfig",
    "ProbeConfig",
    "RunInfo",
    "RunResult",
    "TrainConfig",
    "fit",
    "network_config",
]

_HOMES = {
    "ModelConfig": "vae.config",
    "NetworkConfig": "vae.config",
    "ObjectiveConfig": "vae.config",
    "OptimConfig": "vae.config",
    "ProbeConfig": "vae.config",
    "TrainConfig": "vae.config",
    "VAE": "vae.model.network",
    "Autoencoder": "vae.model.protocol",
    "Forward": "vae.model.protocol",
    "Network": "vae.model.protocol",
    "network_config": "vae.model_config",
    "fit": "vae.training.fit",
    "Hooks": "vae.training.hooks",
    "RunInfo": "vae.training.hooks",
    "RunResult": "vae.training.hooks",
    "BatchSource": "vae.training.sources",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vae' has no attribute {name!r}")
