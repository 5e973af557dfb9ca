"""Map a border of stability: at which learning rate does training break, and does depth move it?

Run it cell by cell in an editor that knows `# %%`, or as a script. EXAMPLE_SCALE=smoke takes seconds.
"""

# %% The plane: the learning rate is searched, depth is what the border is mapped against.
import os

from sweep import Across, BorderPlan, Plan, Plane, RunEvent, Study, TrialConfig, run

SCALE = os.environ.get("EXAMPLE_SCALE", "laptop")

plane = Plane(
    searched="optim.lr",
    low=1e-4,
    high=10.0,
    across=(Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(2, 4, 6)),),
)
laptop = Plan.for_border(
    TrialConfig(epochs=12, batch_size=32),
    BorderPlan(plane=plane, labels=("nonfinite", "blowup"), step=0.25, distances=(0.3, 1.0)),
)
smoke = Plan.for_border(
    TrialConfig.model_validate(
        {
            "model": {"image_size": 16, "base_channels": 4, "max_channels": 8, "latent_dim": 4},
            "data": {"tile_size": 16, "stride": 128},
            "epochs": 20,
            "batch_size": 64,
        }
    ),
    BorderPlan(
        plane=plane.model_copy(
            update={"across": (plane.across[0].model_copy(update={"values": (2, 3)}),), "low": 1e-3}
        ),
        labels=("nonfinite",),
        seeds=(0,),
        step=0.5,
        verify=0,
    ),
)
study = Study(name="my_border", summary="Where training breaks.", plans={"laptop": laptop, "smoke": smoke})


# %% Run it: short probes find the border, longer runs verify it and train below it.
def show(event: RunEvent) -> None:
    if event.kind == "trial_ended":
        print(f"[{event.done}/{event.total}] {event.text}")


found = run(study, scale=SCALE, progress=show)

# %% The border by column: log10 of the learning rate, with a 90 % band.
for label, model in found.border_map().models.items():
    for column in model.columns:
        if column.border is None:
            print(f"{label:10} {column.name:8} {column.status}")
        else:
            print(f"{label:10} {column.name:8} {column.border:.2f} ({column.low:.2f} to {column.high:.2f})")

# %% The picture.
print("\n".join(str(path) for path in found.write_map()))
