"""The config of a trial, and how settings are read and applied by dotted path."""

import difflib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, model_validator

from data_io.config import DataConfig
from sweep.errors import UserError
from vae import kinds
from vae.config import ModelConfig, NetworkConfig, TrainConfig
from vae.model_config import SHARED, StoredNetworkConfig, network_class

KIND = "model.kind"


class TrialConfig(TrainConfig):
    """Everything a trial's result depends on except the pixels, which their content hash identifies."""

    data: DataConfig = DataConfig()
    pruner: Literal["none", "median", "percentile"] = "none"
    """Ends trials of the explore phase early: worse than half of their arm, or than three quarters of it."""

    @model_validator(mode="after")
    def _tiles_fit_the_model(self) -> "TrialConfig":
        if self.data.tile_size != self.model.image_size:
            raise ValueError(
                f"data.tile_size is {self.data.tile_size} and model.image_size {self.model.image_size}: "
                "they must be equal"
            )
        return self


def paths(
    config: type[BaseModel] = TrialConfig, prefix: str = "", network: type[NetworkConfig] = ModelConfig
) -> dict[str, Any]:
    """Every dotted path of a config, such as `model.latent_dim`, with the type of its value.

    network: what `model` is; its fields differ by `model.kind`.
    """
    found: dict[str, Any] = {}
    for name, field in config.model_fields.items():
        annotation = network if field.annotation is NetworkConfig else field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found |= paths(annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = annotation
    return found


def network_of(config: TrialConfig, settings: Mapping[str, Any]) -> type[NetworkConfig]:
    """The config class of the network that `config` has with these settings.

    Raises:
        UserError: `model.kind` names none.
    """
    kind = settings.get(KIND)
    if kind is None or kinds.absolute(str(kind)) == config.model.kind:
        return type(config.model)
    try:
        return network_class(str(kind))
    except ValueError as error:
        raise UserError(str(error)) from error


def has_path(path: str, network: type[NetworkConfig] = ModelConfig) -> bool:
    """Whether there is a setting of that path; what a network that is not there any more had is not known."""
    unknown = network is StoredNetworkConfig and path.startswith("model.")
    return unknown or path in paths(network=network)


def check_path(path: str, network: type[NetworkConfig] = ModelConfig) -> None:
    """Raises UserError, which names the nearest setting, where there is none of that path."""
    if has_path(path, network):
        return
    close = difflib.get_close_matches(path, paths(network=network), n=1, cutoff=0)
    raise UserError(f"there is no setting {path!r}; the nearest is {close[0]!r}")


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """`["model.latent_dim=64", ...]` -> {path: value}; values are read as JSON where they are JSON.

    Of a path under `model` it is found later whether the study's network has it (`with_settings`).

    Raises:
        UserError: no `=`, or a path that does not exist.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise UserError(
                f"--set {setting!r} has no '=': write --set path=value, as in model.latent_dim=64"
            )
        if not path.startswith("model."):
            check_path(path)
        try:
            parsed[path] = json.loads(text)
        except json.JSONDecodeError:
            parsed[path] = text
    return parsed


def with_settings(config: TrialConfig, settings: Mapping[str, Any]) -> TrialConfig:
    """A validated copy with the fields at the dotted paths replaced.

    A tile size alone takes the model's image size with it, and the other way round. Another network keeps
    what all networks have (`vae.config.SHARED`).

    Raises:
        UserError: there is no such setting, a value does not fit its field, or fields do not fit each other.
    """
    settings = dict(settings)
    tile, image = "data.tile_size", "model.image_size"
    if (tile in settings) != (image in settings):
        settings[tile] = settings[image] = settings.get(tile, settings.get(image))
    network = network_of(config, settings)
    tree = config.model_dump()
    if "quality_features" in settings:
        tree.pop("quality_features_sha256", None)  # of the features before
    if KIND in settings:
        if kinds.absolute(str(settings[KIND])) != config.model.kind:
            tree["model"] = {name: tree["model"][name] for name in SHARED}
        tree["model"].pop("kind_sha256", None)  # of the file before
    for path, value in settings.items():
        check_path(path, network)
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    try:
        return TrialConfig.model_validate(tree)
    except ValidationError as error:
        raise UserError(explain(error)) from error


def explain(error: ValidationError) -> str:
    """The first problem that pydantic found, as one sentence with its dotted path."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if path and first["type"] != "value_error":
        return f"{path}={first['input']!r} is not possible: {message[0].lower()}{message[1:]}"
    return f"{path}: {message}" if path else message


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dict -> {dotted path: leaf}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
