"""Networks on a device that this machine lacks, as tensors with shapes and no values (`FakeTensorMode`)."""

from typing import TypeVar

from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def moved(network: Network, device: str) -> Network:
    """`network.to(device)`, which a fake tensor refuses."""
    for module in network.modules():
        for name, value in module._parameters.items():
            module._parameters[name] = None if value is None else nn.Parameter(value.detach().to(device))
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)
    return network
