"""Settings that studies share: one base config a scale."""

from data_io.config import DataConfig
from sweep.study.config import TrialConfig, with_settings
from vae.config import ModelConfig, ObjectiveConfig, OptimConfig

# Without decay the spread over seeds (4-20 %) hides every difference; with it it is 2-4 %.
WSD = OptimConfig(lr=1e-3, lr_schedule="wsd", lr_decay_fraction=0.3)

LAPTOP = TrialConfig(
    model=ModelConfig(image_size=64, base_channels=16, max_channels=128, latent_dim=64),
    objective=ObjectiveConfig(kl_weight=1.0, kl_schedule="linear", kl_warmup_fraction=0.3),
    optim=WSD,
    epochs=24,
    batch_size=32,
    # With few tiles the spread of a validation loss is large: a fifth each for validation and test.
    data=DataConfig(tile_size=64, validation_fraction=0.2, test_fraction=0.2, flip=True, rotate=True),
)

# Four times the tiles for a quarter of the work a step: what claims can be decided on in an hour of two
# cores. 26 epochs of the bundled scenes are 1,500 steps; none stops early, as the schedules span them all.
LAPTOP_32 = with_settings(
    LAPTOP,
    {
        "model.image_size": 32,
        "data.validation_fraction": 0.1,
        "epochs": 26,
        "early_stopping_patience": 0,
        "picture_every": 13,
    },
)

SMOKE = LAPTOP.model_copy(
    update={
        "model": ModelConfig(image_size=32, base_channels=8, max_channels=32, latent_dim=16),
        "epochs": 3,
        "batch_size": 64,
        "picture_every": 1,
        "data": DataConfig(tile_size=32, stride=64, flip=True, rotate=True),
    }
)

# The published setting, trap included: behind a tanh the ImageNet-normalised data cannot all be reached.
PAPER_SETTING = TrialConfig(
    model=ModelConfig(
        image_size=224,
        base_channels=64,
        max_channels=512,
        latent_dim=256,
        max_downsamples=5,
        norm="batch",
        output_range="paper",
    ),
    objective=LAPTOP.objective,
    optim=OptimConfig(optimizer="adam", lr=1e-4, lr_schedule="constant"),
    epochs=200,
    batch_size=32,
    early_stopping_patience=20,
    picture_every=20,
    data=DataConfig(tile_size=224, block_tiles=2, flip=True, rotate=True),
)

# The scale: the same network on data that its decoder can reach, with a rate that decays.
PAPER = PAPER_SETTING.model_copy(
    update={
        "model": PAPER_SETTING.model.model_copy(update={"output_range": "tanh_unit"}),
        "optim": WSD,
    }
)
