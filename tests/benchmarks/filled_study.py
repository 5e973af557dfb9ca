"""`depth_study` without its confirm phase: what `scale` fills with thousands of trials."""

from studies.depth_study import STUDY as DEPTH_STUDY

STUDY = DEPTH_STUDY.model_copy(
    update={
        "name": "filled",
        "plans": {"smoke": DEPTH_STUDY.plan("smoke").model_copy(update={"confirm": None})},
    }
)
