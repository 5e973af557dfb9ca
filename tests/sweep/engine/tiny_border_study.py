"""A border to map in seconds: short runs of the tiny model, at rates that work and rates that do not."""

from sweep.study import Plan, Study
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import with_settings
from tests.sweep.engine.tiny_study import BASE

BORDER = BorderPlan(
    plane=Plane(
        low=1e-3,
        high=10.0,
        across=(
            Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=(1, 2, 3)),
        ),
    ),
    labels=("nonfinite", "blowup"),
    step=0.25,
    distances=(0.5,),
)
PLAN = Plan.for_border(with_settings(BASE, {"epochs": 20}), BORDER)
STUDY = Study(name="tiny", summary="A border to interrupt.", plans={"smoke": PLAN})
