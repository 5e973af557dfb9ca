"""Twelve runs that differ in their seed alone: a second or less each, the same whoever runs them."""

from data_io.config import DataConfig
from sweep.study import Arm, IntAxis, Plan, Study
from sweep.study.config import TrialConfig
from vae.config import ModelConfig

SEEDS = range(12)
BASE = TrialConfig(
    model=ModelConfig(
        image_size=16, base_channels=4, max_channels=8, latent_dim=4, encoder_depth=2, decoder_depth=2
    ),
    epochs=4,
    batch_size=64,
    early_stopping_patience=0,
    picture_every=1000,
    checkpoint_seconds=0.1,
    quality_draws=0,
    threads=1,
    data=DataConfig(tile_size=16, stride=128),
)
PLAN = Plan(
    base=BASE,
    axes=(IntAxis(path="seed", low=SEEDS[0], high=SEEDS[-1]),),
    arms=tuple(Arm(name=f"seed {seed}", fixed={"seed": seed}) for seed in SEEDS),
    trials=len(SEEDS),
)
STUDY = Study(name="tiny", summary="A study to interrupt.", plans={"smoke": PLAN})
