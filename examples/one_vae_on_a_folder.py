"""Train one VAE on a folder of images, without a sweep, and plot how stable the training was.

Run it cell by cell in an editor that knows `# %%`, or as a script. IMAGES names the folder (default: the
scenes that come with the program); EXAMPLE_SCALE=smoke takes seconds.
"""

# %% The images: cut into tiles once, then read from the cache.
import os
from pathlib import Path

from matplotlib.figure import Figure

import data_io
from data_io import BatchLoader, DataConfig, prepare
from vae import Hooks, ModelConfig, TrainConfig, fit

SMOKE = os.environ.get("EXAMPLE_SCALE") == "smoke"
FOLDER = os.environ.get("IMAGES", str(Path(data_io.__file__).parent / "scenes"))
HOME = Path(os.environ.get("SWEEP_HOME", "mlruns"))

size = 32 if SMOKE else 64
tiles = prepare(DataConfig(source=FOLDER, tile_size=size, stride=64), HOME / "cache")
print(f"{len(tiles.train)} tiles for training, {len(tiles.validation)} for validation")

# %% The model and its training.
config = TrainConfig(
    model=ModelConfig(image_size=size, base_channels=8 if SMOKE else 16, latent_dim=32),
    epochs=3 if SMOKE else 24,
    batch_size=32,
)


# %% Every step is measured; hooks receive the measurements.
class Recorder(Hooks):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_step(self, record: dict[str, float]) -> None:
        self.steps.append(record)


recorder = Recorder()
batches = BatchLoader(tiles.train, config.batch_size, seed=config.seed, flip=True, rotate=True)
result = fit(config, batches, tiles.validation, recorder, test=tiles.test)
print(f"{result.outcome}: objective {result.objective:.1f} after {result.steps} steps ({result.reason})")

# %% Loss, gradient norm and its volatility over the run.
figure = Figure(figsize=(8, 7), layout="constrained")
for axes, name in zip(
    figure.subplots(3, sharex=True), ("loss", "grad_norm", "grad_norm_volatility"), strict=True
):
    axes.plot([record[name] for record in recorder.steps])
    axes.set_ylabel(name)
    axes.set_yscale("log")
axes.set_xlabel("optimizer step")
HOME.mkdir(parents=True, exist_ok=True)
figure.savefig(HOME / "stability.png")
print(f"picture: {HOME / 'stability.png'}")
