"""Controllers of the learning rate, one module each, found by its name (`optim.controller`).

They are experiments: `one_run_study` measures what they are worth against the schedule alone. To add one,
write `vae/optim/controllers/<name>.py` with a class `Policy` that subclasses `Controller`. What it must keep:
it only scales the scheduled learning rate; it learns from the records of steps and, if it asks for it, from
`edge_ratio`; whatever it learns is in `state_dict()`. A module whose controller sets `edge_every` declares
`NEEDS_EDGE_RATIO = True`, so that it is refused for optimizers for which `edge_ratio` is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vae.config import OptimConfig
from vae.names import CONTROLLERS


@dataclass(frozen=True)
class Setting:
    """What a controller may know before the first step.

    border_lr: the largest learning rate at which short runs do not blow up (`vae.training.border_lr`); only
        for controllers with `needs_border`.
    """

    config: OptimConfig
    total_steps: int
    border_lr: float | None = None


class Controller:
    """Stateless, with a factor of 1 at every step, unless a subclass says otherwise."""

    needs_border = False
    on_device = False
    """Whether it learns nothing from steps, so that these need no host between them."""
    edge_every = 0
    """Steps between two measurements of `edge_ratio`, which cost six passes each; 0: none."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def factor(self, step: int) -> float:
        """Factor of the scheduled learning rate at this step, from 0: positive and finite."""
        return 1.0

    def observe(self, record: Mapping[str, float]) -> None:
        """Takes a step's record: `step`, `loss`, `grad_norm`, `max_logvar`, ... (`vae.training.step`)."""

    def observe_edge(self, edge_ratio: float) -> None:
        """Takes the edge ratio before a step, at its learning rate; inf if the update does not descend."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__module__} keeps no state, but the checkpoint holds {set(state)}")


def controller_class(config: OptimConfig) -> type[Controller]:
    policy: type[Controller] = CONTROLLERS.load(config.controller).Policy
    return policy


def build(setting: Setting) -> Controller:
    return controller_class(setting.config)(setting)
