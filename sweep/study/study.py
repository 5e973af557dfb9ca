"""What a study is: a named question and its plans at several scales."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from sweep.errors import UserError
from sweep.study.frozen import Frozen
from sweep.study.plan import Plan
from vae.names import nearest

SCALES = ("smoke", "laptop", "paper")
Scale = Literal["smoke", "laptop", "paper"]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
"""Pattern of a study's name, which is also a folder's name."""


class Study(Frozen):
    """A named question and its plans."""

    name: Annotated[str, Field(pattern=NAME)]
    summary: str
    plans: Mapping[Scale, Plan]
    _module: str | None = PrivateAttr(None)

    @property
    def module(self) -> str | None:
        """Path of the module it was loaded from; None for one that ships, or was made in Python."""
        return self._module

    def plan(self, scale: str) -> Plan:
        """Raises UserError where the study has no such scale."""
        for name, plan in self.plans.items():
            if name == scale:
                return plan
        raise UserError(f"study {self.name} has no scale {scale!r}; {nearest(scale, self.plans)}")


def check_name(name: str) -> None:
    """Raises UserError where a study cannot have this name."""
    if not re.fullmatch(NAME, name):
        raise UserError(
            f"{name!r} cannot be a study's name: write at most 100 letters, digits, dots, dashes and "
            "underscores, beginning with a letter or digit"
        )
