"""Controllers of the learning rate, one module each, found by its name (`optim.controller`).

They are experiments: what they are worth against the schedule alone is what `one_run_study` measures. To
add one, write `vae/optim/controllers/<name>.py` with a class `Policy` that subclasses `Controller`. What it
must keep: it only scales the rate that the schedule gives; it learns from what a step has told, and, where
it asks for it, from `edge_ratio`; all that it learns is in `state_dict()`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from vae.config import OptimConfig

NAMES = frozenset(module.name for module in pkgutil.iter_modules(__path__))


@dataclass(frozen=True)
class Setting:
    """What a controller may know before the first step.

    border: the largest rate at which short runs do not blow up (`vae.training.border_rate`); only for those
        that say `needs_border`.
    """

    config: "OptimConfig"
    total_steps: int
    border: float | None = None


class Controller:
    """Stateless, and 1 at every step, unless it says otherwise."""

    needs_border = False
    edge_every = 0
    """Steps between two measurements of `edge_ratio` that it wants; 0: none. Six passes each."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def factor(self, step: int) -> float:
        """What the schedule's rate at this step, from 0, is multiplied with: positive and finite."""
        return 1.0

    def observe(self, record: Mapping[str, float]) -> None:
        """A step's record: its `step`, `loss`, `grad_norm`, `max_logvar`, ... (`vae.training.step`)."""

    def observe_edge(self, edge_ratio: float) -> None:
        """Before a step, at the rate that it would be made with; inf where the update does not descend."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            raise ValueError(f"{type(self).__module__} keeps no state, but the checkpoint holds {set(state)}")


def kind_of(config: "OptimConfig") -> type[Controller]:
    module = importlib.import_module(f"{__name__}.{config.controller}")
    return cast(type[Controller], module.Policy)


def build(setting: Setting) -> Controller:
    return kind_of(setting.config)(setting)
