"""Blocks: the runs that claims rest on.

A block is a seed of the run together with a seed of the split. In each, every arm tunes over the same grid at
the full length that is judged: a setting is chosen on the validation tiles and valued on the test tiles. So
the luck of tuning and the luck of the split are in the spread that a test sees, and not in its verdict
(Bouthillier et al. 2021, arXiv 2103.03098).
"""

from collections.abc import Collection, Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from sweep.study.frozen import Frozen, Value

Share = Annotated[float, Field(ge=0, lt=1)]


class Blocks(Frozen):
    """How the arms of a plan are compared.

    grid: what every arm tries in each block, by path, in the order in which it is tried: best guess first. An
        arm that fixes one of the paths tries the others.
    settings: further settings of all these runs, such as {"epochs": 30}.
    arms: those that are compared; empty: those that the plan's claims and `carries` name.
    rung, behind: a run ends after the share `rung` of its epochs if its best validation objective until then
        is worse, by more than the share `behind`, than that of another which its arm has finished in the
        block. 0: none ends early.
    most: blocks after which there are no more, decided or not.
    """

    grid: Mapping[str, tuple[Value, ...]] = Field(default_factory=dict)
    settings: Mapping[str, Value] = Field(default_factory=dict)
    arms: tuple[str, ...] = ()
    rung: Share = 0.0
    behind: Annotated[float, Field(ge=0)] = 0.15
    most: Annotated[int, Field(ge=1)] = 20

    def points(self, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What an arm that fixes these values tries in a block, path -> value."""
        free = {path: values for path, values in self.grid.items() if path not in fixed}
        return [dict(zip(free, values, strict=True)) for values in product(*free.values())]

    def without(self, paths: Collection[str]) -> "Blocks":
        """A copy that does not touch these settings."""
        return self.model_copy(
            update={
                "grid": {path: values for path, values in self.grid.items() if path not in paths},
                "settings": {path: value for path, value in self.settings.items() if path not in paths},
            }
        )
