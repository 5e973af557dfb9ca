"""What a study is: a named question and its plans at several scales."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from sweep.errors import UserError
from sweep.study.plan import Frozen, Plan
from vae.names import nearest

SCALES = ("smoke", "laptop", "paper")
Scale = Literal["smoke", "laptop", "paper"]


class Study(Frozen):
    """A named question and its plans."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    summary: str
    plans: Mapping[Scale, Plan]

    def plan(self, scale: str) -> Plan:
        for name, plan in self.plans.items():
            if name == scale:
                return plan
        raise UserError(f"study {self.name} has no scale {scale!r}; {nearest(scale, self.plans)}")
