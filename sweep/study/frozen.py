"""What every part of a study's declaration is: data that does not change, a misspelt field an error."""

from pydantic import BaseModel, ConfigDict

Value = str | float | int | bool
"""A setting's value, as JSON has it."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
