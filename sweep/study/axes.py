"""An axis: a setting, by its path, and the values in which a study searches it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sweep.study.frozen import Frozen, Value


class FloatAxis(Frozen):
    kind: Literal["float"] = "float"
    path: str
    low: float
    high: float
    log: bool = False

    def holds(self, value: Any) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


class IntAxis(Frozen):
    kind: Literal["int"] = "int"
    path: str
    low: int
    high: int

    def holds(self, value: Any) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high


class ChoiceAxis(Frozen):
    kind: Literal["choice"] = "choice"
    path: str
    choices: tuple[Value, ...]

    def holds(self, value: Any) -> bool:
        return value in self.choices


# `kind` tells them apart: in JSON an integer range would pass for a float one.
Axis = Annotated[FloatAxis | IntAxis | ChoiceAxis, Field(discriminator="kind")]
