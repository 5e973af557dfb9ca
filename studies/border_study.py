"""Where does training stop being stable, and is it depth that moves the border?

Every halving of the grid also divides the fan-in of the latent head, so depth by the usual rule moves three
things at once. Columns of other halvings and widths tell them apart: the same fan-in at other halvings and
depths, and other fan-ins at the same.
"""

from studies.base import LAPTOP_32, PAPER, SMOKE
from studies.claims import about_distances
from sweep.study import Plan, Study
from sweep.study.border_plan import Across, BorderPlan, Plane
from sweep.study.config import TrialConfig

DISTANCES = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0)
# None of those that the border is mapped with: how near a run of those is to it was seen in the mapping.
FRESH_SEEDS = (10, 11, 12)
Cells = tuple[tuple[int, int, int], ...]


def _plan(base: TrialConfig, rule: Cells, control: Cells, **settings: object) -> Plan:
    """rule: (depth, most halvings, width) of the usual rule, where runs are trained; control: the others."""
    cells = (*rule, *control)
    depths, halvings, widths = (tuple(sorted(set(values))) for values in zip(*cells, strict=True))
    plane = Plane(
        across=(
            Across(name="depth", paths=("model.encoder_depth", "model.decoder_depth"), values=depths),
            Across(name="halvings", paths=("model.max_downsamples",), values=halvings),
            Across(name="width", paths=("model.base_channels",), values=widths, log=True),
        ),
        cells=cells,
        high=1.0,  # with few inputs to the latent head training stays finite beyond a rate of 0.1
    )
    border = {"plane": plane, "distances": DISTANCES, "distance_columns": rule} | settings
    plan = BorderPlan.model_validate(border)
    return Plan.for_border(base, plan, about_distances(plan.distances))


STUDY = Study(
    name="border_study",
    summary="Where does training stop being stable? The learning rate's border by depth and by head fan-in.",
    plans={
        "smoke": _plan(
            SMOKE,
            ((2, 4, 8), (4, 4, 8)),
            ((4, 2, 8),),
            seeds=(0,),
            step=0.25,
            distances=(0.3, 1.0),
            distance_seeds=(FRESH_SEEDS[0],),
        ),
        "laptop": _plan(
            # The setting of depth_study, so that its trials stay inside the border that was mapped.
            LAPTOP_32,
            ((2, 4, 16), (4, 4, 16), (8, 4, 16)),
            ((2, 4, 64), (4, 2, 16), (4, 2, 4), (4, 3, 32), (4, 3, 8), (8, 2, 16)),
            step=0.25,
            # The useless border is not known better for more runs: its spread over seeds is a floor.
            cell_budget=6,
            # One in each band of the claim, over as many seeds as an interval needs.
            distances=(0.3, 0.9, 1.5),
            distance_seeds=FRESH_SEEDS,
        ),
        "paper": _plan(
            PAPER,
            tuple((depth, 5, 64) for depth in (2, 3, 4, 5, 6, 8)),
            ((3, 2, 64), (4, 2, 16), (4, 2, 64), (4, 3, 32), (5, 2, 64), (8, 2, 64), (8, 3, 64), (8, 4, 32)),
            distance_seeds=FRESH_SEEDS,
        ),
    },
)
