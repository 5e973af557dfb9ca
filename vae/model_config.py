"""The config of a network: of ours, and of one that `model.kind` names."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vae import kinds

PositiveInt = Annotated[int, Field(ge=1)]


class Config(BaseModel):
    """Frozen; a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NetworkConfig(Config):
    """What every network has: a network of yours adds its own fields in a subclass, its class's `Config`."""

    kind: str = kinds.OURS
    """`vae` is ours. Another is named as `path/to/module.py:Class` or `package.module:Class`, and has
    settings of its own (docs/your_network.md)."""
    kind_sha256: str | None = None
    """Hash of the file that holds the class, filled in when the kind is set: a changed network is another."""
    image_size: Annotated[int, Field(ge=8)] = 64
    output_range: Literal["tanh_unit", "imagenet_linear", "paper"] = "tanh_unit"
    logvar_bound: Literal["none", "clamp", "soft"] = "none"
    """Bound on the encoder's log-variance lv: clamped to +-10, or 10 tanh(lv / 10). It moves the border of
    stability."""

    @model_serializer(mode="wrap")
    def _without_the_kind_of_ours(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Later fields: checkpoints and studies from before them are of the same config."""
        tree: dict[str, Any] = handler(self)
        if self.kind == kinds.OURS:
            tree.pop("kind", None)
            tree.pop("kind_sha256", None)
        return tree


class StoredNetworkConfig(NetworkConfig):
    """Of a network whose file is gone or another now: it can be read and shown, and no such network built."""

    model_config = ConfigDict(extra="allow")


class ModelConfig(NetworkConfig):
    """Our network. `encoder_depth` and `decoder_depth` count convolution layers (see `vae.model.layout`)."""

    encoder_depth: PositiveInt = 4
    decoder_depth: PositiveInt = 4
    max_downsamples: PositiveInt = 4
    base_channels: PositiveInt = 16
    max_channels: PositiveInt = 128
    latent_dim: PositiveInt = 64
    norm: Literal["batch", "group", "none"] = "batch"
    extra_block: Literal["conv", "residual"] = "conv"

    @property
    def num_downsamples(self) -> int:
        """Number of stages, each of which halves the resolution."""
        return min(self.encoder_depth, self.decoder_depth, self.max_downsamples)

    @property
    def grid_sizes(self) -> list[int]:
        """Side of the square feature map before the first stage and after each, in pixels."""
        return [self.image_size // 2**stage for stage in range(self.num_downsamples + 1)]

    @model_validator(mode="after")
    def _grid_is_whole(self) -> "ModelConfig":
        sizes = [self.image_size / 2**stage for stage in range(self.num_downsamples + 1)]
        if any(size != int(size) for size in sizes):
            whole = sum(size == int(size) for size in sizes) - 1
            listed = ", ".join(f"{size:g}" for size in sizes)
            mend = f"max_downsamples to {whole} or less" if whole else "image_size to an even number"
            raise ValueError(
                f"image_size {self.image_size} cannot be halved {self.num_downsamples} times "
                f"(sizes {listed}): set model.{mend}"
            )
        return self


SHARED = ("image_size", "output_range", "logvar_bound")
"""The settings of a network that another one has too."""


def network_class(kind: str) -> type[NetworkConfig]:
    """The config class of the networks of a kind.

    Raises:
        ValueError: there is no such network, or it has none (`vae.kinds.load_class`).
    """
    if kind == kinds.OURS:
        return ModelConfig
    kind = kinds.absolute(kind)
    found = getattr(kinds.load_class(kind, kinds.kind_sha256(kind)), "Config", None)
    if not isinstance(found, type) or not issubclass(found, NetworkConfig):
        raise ValueError(
            f"model.kind={kind} has no Config: give the class an attribute of that name, a subclass of "
            "vae.NetworkConfig with the network's own settings"
        )
    return found


def network_config(tree: Mapping[str, Any]) -> NetworkConfig:
    """The config of a network from plain data, of the class that its kind asks for.

    A stored one, whose hash is known, is read also where its network is not there any more.

    Raises:
        ValueError: there is no such network, or the values do not fit it.
    """
    kind = tree.get("kind", kinds.OURS)
    if kind == kinds.OURS or not isinstance(kind, str):
        return ModelConfig.model_validate(tree)
    kind, stored = kinds.absolute(kind), tree.get("kind_sha256")
    try:
        now = kinds.kind_sha256(kind)
        config_class = network_class(kind) if stored in (None, now) else StoredNetworkConfig
    except ValueError:
        if stored is None:
            raise
        now, config_class = stored, StoredNetworkConfig
    config = config_class.model_validate({**tree, "kind": kind, "kind_sha256": stored or now})
    try:
        hash(config)
    except TypeError as error:
        raise ValueError(
            f"model.kind={kinds.short(kind)}: its Config must be hashable ({error}): write tuple[int, ...], "
            "not list[int]"
        ) from error
    return config


def _network(value: Any) -> Any:
    """A validator: a config as it is, and of plain data the one of its kind."""
    if not isinstance(value, NetworkConfig):
        return network_config(value) if isinstance(value, Mapping) else value
    if (value.kind == kinds.OURS) != isinstance(value, ModelConfig):
        raise ValueError(
            f"{type(value).__name__} is of kind {value.kind}: vae.network_config makes one of a kind"
        )
    return value


AnyNetwork = Annotated[SerializeAsAny[NetworkConfig], BeforeValidator(_network)]
"""A field that holds the config of any network, whole."""
