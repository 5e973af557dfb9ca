"""DataConfig refuses what cannot work."""

import pytest
from pydantic import ValidationError

from data_io import DataConfig


def test_a_typo_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match=r"no data setting 'tile_sise'; did you mean 'tile_size'\?"):
        DataConfig(tile_sise=64)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "bad",
    [
        {"tile_size": 7},
        {"stride": 0},
        {"block_tiles": 0},
        {"gap": -1},
        {"max_nodata_fraction": 1.5},
        {"min_std": float("nan")},
        {"validation_fraction": 0.0},
        {"validation_fraction": 0.5, "test_fraction": 0.5},
        {"mode": "crop"},
        {"source": ""},
        {"memory_share": -0.1},
    ],
)
def test_settings_out_of_range_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(bad)


def test_config_is_frozen_and_survives_json() -> None:
    config = DataConfig(stride=32, flip=True)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError):
        config.gap = 3  # type: ignore[misc]


def test_split_fractions_sum_to_one() -> None:
    fractions = DataConfig(validation_fraction=0.2, test_fraction=0.1).fractions()
    assert fractions == {"train": pytest.approx(0.7), "validation": 0.2, "test": 0.1}
