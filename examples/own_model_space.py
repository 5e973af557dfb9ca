"""A study of your own: how many latent dimensions are worth having, and with which normalisation?

Run it cell by cell in an editor that knows `# %%`, or as a script. EXAMPLE_SCALE=smoke takes seconds.
"""

# %% What to search: two axes, and two arms that are compared fairly.
import os

from sweep import Arm, FloatAxis, IntAxis, Plan, RunEvent, Study, TrialConfig, results, run

SCALE = os.environ.get("EXAMPLE_SCALE", "laptop")

laptop = Plan(
    base=TrialConfig(epochs=24, batch_size=32),
    axes=(
        IntAxis(path="model.latent_dim", low=4, high=128),
        FloatAxis(path="optim.lr", low=3e-4, high=1e-2, log=True),
    ),
    arms=(
        Arm(name="batch norm", settings={"model.norm": "batch"}),
        Arm(name="group norm", settings={"model.norm": "group"}),
    ),
    trials=16,
)
small = {"model.image_size": 32, "model.base_channels": 8, "data.stride": 64, "epochs": 2, "batch_size": 64}
smoke = laptop.with_settings(small).model_copy(update={"trials": 4})

study = Study(
    name="latent_sizes",
    summary="How many latent dimensions, and which normalisation?",
    plans={"laptop": laptop, "smoke": smoke},
)


# %% Run it. The same call again adds as many trials; after an interruption it finishes what was left open.
def show(event: RunEvent) -> None:
    if event.kind == "trial_ended":
        print(f"[{event.done}/{event.total}] {event.text}")


found = run(study, scale=SCALE, progress=show)

# %% The trials as a pandas table.
columns = ["number", "arm", "model.latent_dim", "optim.lr", "outcome", "objective", "latent/active_units"]
print(found.table[columns].sort_values("objective").to_string(index=False))

# %% The best model, and samples from it.
best = found.best
assert best is not None, "every trial diverged"
model = found.model()
print(f"trial {best.trial}: {best.value:.1f} with {model.latent_dim} latent dimensions")
found.samples(count=36).save(found.home / "latent_sizes_samples.png")
found.pictures(best.trial).save(found.home / "latent_sizes_reconstructions.png")

# %% Any time later, in another session.
print(results("latent_sizes"))
print(f"report: {found.report()}")
