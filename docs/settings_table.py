"""The table of settings in docs/settings.md, made from the config classes.

python -m docs.settings_table            write it
python -m docs.settings_table --check    exit with 1 if the page is old
"""

import argparse
import ast
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sweep.study.config import TrialConfig
from vae.config import ModelConfig, NetworkConfig

PAGE = Path(__file__).with_name("settings.md")
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"

MEANINGS = {
    "model.image_size": "Side of the square images in pixels; equal to `data.tile_size`.",
    "model.encoder_depth": "Convolution layers of the encoder.",
    "model.decoder_depth": "Convolution layers of the decoder; the last one, to RGB, counts.",
    "model.max_downsamples": "Most layers of a side that halve the grid; the others keep it.",
    "model.base_channels": "Channels of the first stage; each halving doubles them.",
    "model.max_channels": "Most channels of a stage.",
    "model.latent_dim": "Dimensions of the latent code.",
    "model.norm": "Normalisation between layers.",
    "model.extra_block": "What the layers that keep the grid are: plain 3x3 convolutions or residual blocks.",
    "model.output_range": "Scale of the pixels, and the decoder's last activation; `paper` is a trap.",
    "objective.likelihood": "Likelihood of an image given its reconstruction.",
    "objective.kl_rule": "What becomes of the KL in the loss.",
    "objective.kl_weight": "Weight of the KL at the end of its schedule.",
    "objective.kl_schedule": "How the KL weight comes up.",
    "objective.kl_warmup_fraction": "Share of the run over which the KL weight comes up.",
    "objective.kl_cycles": "Cycles of the schedule `cyclical`.",
    "optim.optimizer": "The optimizer.",
    "optim.lr": "Learning rate between warm-up and decay.",
    "optim.beta1": "Decay of the first moment of adam and its relatives.",
    "optim.beta2": "Decay of the second moment of adam and its relatives.",
    "optim.eps": "Added to the denominator of adam and its relatives.",
    "optim.weight_decay": "Weight decay.",
    "optim.lr_schedule": "How the learning rate goes over the run.",
    "optim.lr_warmup_fraction": "Share of the steps over which the learning rate rises, with any schedule.",
    "optim.lr_decay_fraction": "Share of the steps, at the end, over which `wsd` decays to 0.",
    "optim.lr_step_fraction": "Share of the run after which `step` multiplies by `lr_gamma`.",
    "optim.lr_gamma": "Factor of the schedules `step` and `plateau`.",
    "optim.lr_patience": "Epochs without a better objective before `plateau` multiplies by `lr_gamma`.",
    "optim.clip": "Clipping policy.",
    "optim.clip_norm": "Norm that the policy `norm` clips to, absolute.",
    "optim.clip_norm_relative": "The same in units of the median gradient norm of a short run.",
    "optim.clip_value": "Largest gradient entry, for the policy `value`.",
    "optim.clip_percentile": "Percentile of the norms so far, for the policy `percentile`.",
    "optim.clip_zscore": "Standard deviations above the mean, for the policy `zscore`.",
    "optim.agc_ratio": "Largest ratio of a unit's gradient to its weights, for the policy `agc`.",
    "optim.skip": "Which steps are skipped; never more than five in a row.",
    "optim.skip_threshold": "Gradient norm above which `threshold` skips a step.",
    "epochs": "Most epochs of a run.",
    "batch_size": "Images per optimizer step.",
    "seed": "Seed of the weights, the order of the data and the noise.",
    "checkpoint_seconds": "Seconds between two checkpoints; 0: one after every epoch.",
    "threads": "CPU threads of a worker; None: its share of the cores.",
    "precision": "Precision of the forward pass; auto: bfloat16 where the processor or GPU is fast at it.",
    "memory_format": "Layout of images in memory; auto: channels_last.",
    "device": "auto: a GPU where there is one.",
}
"""For fields that have no docstring of their own; a docstring takes precedence."""

_NAMED = re.compile(r"^([\w, ]+): (.+(?:\n +.+)*)", re.MULTILINE)
"""`name: meaning` in a class docstring, continued on indented lines."""
_BOUNDS: dict[type, tuple[str, str]] = {Ge: ("ge", ">="), Gt: ("gt", ">"), Le: ("le", "<="), Lt: ("lt", "<")}


class Setting(typing.NamedTuple):
    """One row of the table."""

    path: str
    values: str
    default: str
    meaning: str


def settings(model: type[BaseModel] = TrialConfig, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a config class, in the order of declaration."""
    said = docstrings(model)
    for name, field in model.model_fields.items():
        path, kind = prefix + name, ModelConfig if field.annotation is NetworkConfig else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{path}.")
        else:
            meaning = said.get(name) or field.description or MEANINGS.get(path, "")
            yield Setting(path, _values(field), _show(field.default), meaning)


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Field -> what is said of it, under the field or in the class docstring as `name: meaning`."""
    said: dict[str, str] = {}
    for kind in reversed([k for k in model.__mro__ if issubclass(k, BaseModel) and k is not BaseModel]):
        for names, text in re.findall(
            r"^([\w, ]+): (.+(?:\n +.+)*)", inspect.getdoc(kind) or "", re.MULTILINE
        ):
            said |= {name.strip(): _one_line(text) for name in names.split(",")}
        said |= _under_fields(kind)
    return {name: text for name, text in said.items() if name in model.model_fields}


def _under_fields(kind: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    said = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            said[field.target.id] = _one_line(str(below.value.value))  # type: ignore[attr-defined]
    return said


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line[:1].upper() + line[1:]


def _values(field: FieldInfo) -> str:
    for rule in field.metadata:
        registry = getattr(getattr(rule, "func", None), "__self__", None)  # a check of names (`vae.names`)
        if names := getattr(registry, "names", None):
            return ", ".join(f"`{name}`" for name in names)
    return _type(field.annotation, field.metadata)


def _type(kind: Any, rules: list[Any]) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(arguments[0], list(arguments[1:]))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument, rules) for argument in arguments)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if kind is type(None):
        return "None"
    name = {bool: "true, false", int: "integer", float: "number", str: "text"}.get(kind, str(kind))
    bounds = [
        f"{sign} {getattr(rule, attribute):g}"
        for rule in _flat(rules)
        for bound, (attribute, sign) in _BOUNDS.items()
        if isinstance(rule, bound)
    ]
    return f"{name} {', '.join(bounds)}" if bounds else name


def _flat(rules: list[Any]) -> list[Any]:
    return [part for rule in rules for part in (rule.metadata if isinstance(rule, FieldInfo) else [rule])]


def _show(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table() -> str:
    """The table as Markdown."""
    rows = ["| Setting | Values | Default | Meaning |", "| --- | --- | --- | --- |"]
    for s in settings():
        cells = (f"`{s.path}`", s.values, s.default, s.meaning)
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)


def renewed(page: str) -> str:
    """The text of docs/settings.md with a fresh table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text(encoding="utf-8")
    new = renewed(page)
    if parser.parse_args().check:
        if page != new:
            print(f"{PAGE} is old: run python -m docs.settings_table", file=sys.stderr)
        return int(page != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
