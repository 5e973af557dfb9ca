"""Two arms, a learning rate to search and two seeds to confirm: trials of a fraction of a second each."""

from sweep.study import Arm, ChoiceAxis, Confirm, FloatAxis, Plan, Study
from sweep.study.config import with_settings
from tests.sweep.engine.tiny_study import BASE

BOUND = "model.logvar_bound"
SEEDS = 2
CHOICES = ("none", "soft")
PLAN = Plan(
    base=with_settings(BASE, {"epochs": 2}),
    axes=(ChoiceAxis(path=BOUND, choices=CHOICES), FloatAxis(path="optim.lr", low=1e-4, high=1e-2, log=True)),
    arms=tuple(Arm(name=f"bound {bound}", fixed={BOUND: bound}) for bound in CHOICES),
    trials=2,
    confirm=Confirm(seeds=SEEDS, settings={"epochs": 1}),
)
STUDY = Study(
    name="small",
    summary="A study that is over in seconds.",
    plans={"smoke": PLAN, "laptop": PLAN.with_settings({"batch_size": 32})},
)
