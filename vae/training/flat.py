"""The buffers of a model in one tensor a type, so that keeping and putting them back is one kernel each."""

import torch
from torch import Tensor, nn


def flatten_buffers(model: nn.Module) -> list[Tensor]:
    """Make the model's buffers views of new tensors, one for each dtype, and return these.

    State dicts and checkpoints are the same as before.
    """
    kinds: dict[torch.dtype, list[tuple[nn.Module, str, Tensor]]] = {}
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            kinds.setdefault(buffer.dtype, []).append((module, name, buffer))
    flat = []
    for places in kinds.values():
        whole = torch.cat([buffer.reshape(-1) for _, _, buffer in places])
        parts = torch.split(whole, [buffer.numel() for _, _, buffer in places])
        for (module, name, buffer), part in zip(places, parts, strict=True):
            setattr(module, name, part.view(buffer.shape))
        flat.append(whole)
    return flat
