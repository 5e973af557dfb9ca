import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sweep.evidence import Judged, blocks_wanted, disagreement, judge_blocks, judge_columns
from sweep.study.claims import SAMPLES, TEST_LOSS, Claim, Contrast, Endpoint

INF = math.inf
ACCURACY = Endpoint(key="accuracy", title="accuracy", better="higher")
DEEP = Contrast(worse=("8",), better=("4", "5"))
SHALLOW = Contrast(worse=("2",), better=("4", "5"))
SAFE = Contrast(worse=("8",), better=("4", "5"), not_better=True)
Blocks = dict[str, dict[int, float]]


def claim(*contrasts: Contrast, on: Sequence[Endpoint] = (TEST_LOSS,), columns: bool = False) -> Claim:
    paired = "column" if columns else "block"
    return Claim.model_validate(
        {
            "key": "depth",
            "title": "t",
            "statement": "s",
            "paired": paired,
            "contrasts": contrasts,
            "endpoints": on,
        }
    )


def runs(blocks: int, seed: int = 0, sd: float = 0.03, **effects: float) -> Blocks:
    """Arms d8=.2 and the like by their log loss, with 4 and 5 at nought."""
    rng = np.random.default_rng(seed)
    splits = rng.normal(0, 0.2, blocks)
    arms = {"4": 0.0, "5": 0.0, **{name.removeprefix("d"): effect for name, effect in effects.items()}}
    return {
        arm: {block: float(np.exp(splits[block] + effect + rng.normal(0, sd))) for block in range(blocks)}
        for arm, effect in arms.items()
    }


def on_loss(asked: Claim, values: Mapping[str, Mapping[int, float]]) -> Judged:
    (judged,) = judge_blocks(asked, {TEST_LOSS.key: values})
    return judged


def test_a_clear_difference_is_supported_at_the_first_look_and_stays_so() -> None:
    for blocks in (6, 8, 13):
        values = runs(blocks, d8=0.3)
        for block in range(6, blocks):
            values["8"][block] = 0.01
        judged = on_loss(claim(DEEP), values)
        assert (judged.verdict, judged.look, judged.blocks, judged.next_look) == (
            "supported",
            6,
            blocks,
            None,
        )
        assert "8 worse than 4 and 5" in judged.why


def test_no_difference_is_contradicted_where_the_margin_is_excluded() -> None:
    judged = on_loss(claim(DEEP), runs(20, d8=0.0, sd=0.01))
    assert judged.verdict == "contradicted"
    assert judged.why.endswith("8 not worse than 4 and 5 by 5 % or more.")


def test_a_difference_below_the_margin_is_contradicted_even_where_it_is_found() -> None:
    judged = on_loss(claim(DEEP), runs(20, d8=0.02, sd=0.002))
    assert judged.verdict == "contradicted"
    assert judged.findings[0].found
    assert judged.findings[0].excluded


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [(0.2, "supported"), (0.0, "supported"), (-0.02, "supported"), (-0.2, "contradicted")],
)
def test_not_better_is_about_the_margin_on_the_other_side(effect: float, verdict: str) -> None:
    assert on_loss(claim(SAFE), runs(20, d8=effect, sd=0.005)).verdict == verdict


def test_one_contrast_that_is_excluded_contradicts_and_one_that_is_open_leaves_open() -> None:
    assert on_loss(claim(DEEP, SHALLOW), runs(20, d8=0.3, d2=0.0, sd=0.005)).verdict == "contradicted"
    open_claim = on_loss(claim(DEEP, SHALLOW), runs(20, d8=0.3, d2=0.05, sd=0.08))
    assert open_claim.verdict == "inconclusive"
    assert open_claim.findings[0].found
    assert (
        open_claim.why == "Not decided at the look of 20 blocks: 2 worse than 4 and 5; it was the last look."
    )


def test_before_a_look_it_says_how_many_blocks_it_waits_for() -> None:
    judged = on_loss(claim(DEEP), runs(4, d8=0.3))
    assert (judged.verdict, judged.look, judged.blocks, judged.next_look) == ("inconclusive", None, 4, 6)
    assert judged.findings[0].p is None
    assert judged.findings[0].effect is not None
    assert judged.why == "4 of the 6 blocks for the next look are at hand."
    nothing = on_loss(claim(DEEP), {})
    assert (nothing.blocks, nothing.next_look, nothing.findings[0].win_share) == (0, 6, None)


def test_one_arm_against_one_waits_for_a_look_that_can_decide() -> None:
    """Of six blocks the smallest p is 2^-6, above the level there."""
    pair = claim(Contrast(worse=("8",), better=("4",)))
    assert pair.of_pairs
    assert not claim(DEEP).of_pairs
    assert on_loss(pair, runs(4, d8=0.3)).next_look == 9
    assert on_loss(pair, runs(9, d8=0.3, sd=0.005)).verdict == "supported"


def test_a_study_without_more_blocks_is_not_told_to_wait_for_a_look() -> None:
    values = {TEST_LOSS.key: runs(6, seed=1, d8=0.12, sd=0.2)}
    (open_one,) = judge_blocks(claim(DEEP), values)
    assert open_one.next_look == 9
    (ended,) = judge_blocks(claim(DEEP), values, most=6)
    assert (ended.verdict, ended.next_look) == ("inconclusive", None)
    assert ended.why.endswith("; the study has no more blocks for another look.")
    (unseen,) = judge_blocks(claim(DEEP), {TEST_LOSS.key: runs(3, d8=0.03)}, most=3)
    assert unseen.why == "The study has no more blocks for another look."


def test_a_value_that_is_missing_leaves_the_claim_open_and_is_named() -> None:
    values = runs(7, d8=0.3)
    del values["5"][2]
    judged = on_loss(claim(DEEP), values)
    assert judged.verdict == "inconclusive"
    assert (judged.missing, judged.blocks, judged.next_look) == ((("5", 2),), 2, 6)
    assert "5 in block 2" in judged.why


def test_a_value_that_is_missing_after_the_look_does_not_matter() -> None:
    values = runs(8, d8=0.3)
    del values["5"][6]
    judged = on_loss(claim(DEEP), values)
    assert (judged.verdict, judged.missing, judged.blocks) == ("supported", (), 6)


@pytest.mark.parametrize("lost", [INF, math.nan, -INF])
def test_a_run_that_diverged_is_the_worst_on_any_endpoint(lost: float) -> None:
    values = runs(6, d8=-0.3)
    values["8"] = dict.fromkeys(range(6), lost)
    for endpoint in (TEST_LOSS, ACCURACY):
        (judged,) = judge_blocks(claim(DEEP, on=[endpoint]), {endpoint.key: values})
        assert judged.verdict == "supported"
        (finding,) = judged.findings
        assert (finding.worse.diverged, finding.better.diverged) == (6, 0)
        assert finding.effect is not None
        assert finding.effect.interval is None


def test_higher_can_be_better() -> None:
    (judged,) = judge_blocks(claim(DEEP, on=[ACCURACY]), {ACCURACY.key: runs(6, d8=-0.3)})
    assert judged.verdict == "supported"
    (finding,) = judged.findings
    assert finding.effect is not None
    assert finding.effect.interval is not None
    assert finding.effect.interval.estimate == pytest.approx(math.exp(-0.3), rel=0.1)


def test_the_unit_of_a_value_does_not_matter() -> None:
    values = runs(13, d8=0.06, sd=0.05)
    scaled = {arm: {block: 1e4 * v for block, v in blocks.items()} for arm, blocks in values.items()}
    first, second = (on_loss(claim(DEEP), each).findings[0] for each in (values, scaled))
    assert (first.p, first.p_excluded) == (second.p, second.p_excluded)


def test_values_that_are_not_positive_are_compared_as_differences() -> None:
    values = runs(6, d8=0.3)
    shifted = {arm: {block: v - 1 for block, v in blocks.items()} for arm, blocks in values.items()}
    judged = on_loss(claim(DEEP), shifted)
    assert judged.verdict == "supported"
    assert judged.findings[0].effect is not None
    assert judged.findings[0].effect.kind == "difference"


def test_endpoints_have_verdicts_of_their_own_and_where_they_disagree_is_said() -> None:
    values = {TEST_LOSS.key: runs(6, d8=0.3), SAMPLES.key: runs(6, seed=1, d8=0.0, sd=0.08)}
    judged = judge_blocks(claim(DEEP, on=[TEST_LOSS, SAMPLES]), values)
    assert [each.verdict for each in judged] == ["supported", "inconclusive"]
    assert disagreement(judged) == (
        "The verdict depends on the endpoint: "
        "supported on loss on test tiles; inconclusive on KID of samples."
    )
    assert disagreement(judged[:1]) is None
    assert blocks_wanted(judged) == 9
    assert blocks_wanted(judged[:1]) is None


def test_a_contrast_may_have_an_endpoint_of_its_own() -> None:
    mixed = claim(DEEP, SHALLOW.model_copy(update={"endpoint": ACCURACY}))
    values = {TEST_LOSS.key: runs(6, d8=0.3), ACCURACY.key: runs(6, d2=-0.3)}
    (judged,) = judge_blocks(mixed, values)
    assert judged.verdict == "supported"
    assert [finding.endpoint for finding in judged.findings] == [TEST_LOSS, ACCURACY]


def test_it_is_json() -> None:
    values = runs(7, d8=0.3)
    values["8"][3] = INF
    del values["4"][6]
    document = on_loss(claim(DEEP), values).as_dict()
    assert json.loads(json.dumps(document, allow_nan=False))["findings"][0]["worse"]["diverged"] == 1


NEAR = {0: (756, 840, 776), 1: (INF, INF, INF), 2: (INF, INF, INF)}
MIDDLE = {0: (602, 579, 585), 1: (425, 450, 375), 2: (482, 841, 518)}
FAR = {0: (1866, 2041, 1831), 1: (392, 436, 401), 2: (448, 476, 426)}
BORDER = claim(
    Contrast(worse=("middle",), better=("near",)), Contrast(worse=("far",), better=("near",)), columns=True
)


def test_the_27_runs_at_the_border_contradict_that_near_it_is_best() -> None:
    (judged,) = judge_columns(BORDER, {TEST_LOSS.key: {"near": NEAR, "middle": MIDDLE, "far": FAR}})
    assert judged.verdict == "contradicted"
    middle = judged.findings[0]
    assert middle.win_share is not None
    assert middle.win_share.estimate == 0
    assert (middle.better.runs, middle.better.diverged) == (9, 6)
    assert middle.effect is not None
    assert list(middle.effect.shifts) == [0]
    json.dumps(judged.as_dict(), allow_nan=False)


def test_columns_support_what_is_so_in_all_of_them() -> None:
    (judged,) = judge_columns(BORDER, {TEST_LOSS.key: {"near": MIDDLE, "middle": NEAR, "far": NEAR}})
    assert judged.verdict == "supported"


def test_too_few_runs_in_a_column_leave_the_claim_open() -> None:
    short = {**MIDDLE, 2: MIDDLE[2][:2]}
    (judged,) = judge_columns(BORDER, {TEST_LOSS.key: {"near": NEAR, "middle": short, "far": FAR}})
    assert judged.verdict == "inconclusive"
    assert judged.why == "middle has 2 runs in column 2, where 3 are needed."
    (one,) = judge_columns(BORDER, {TEST_LOSS.key: {arm: {0: (1.0, 2, 3, 4)} for arm in BORDER.arms}})
    assert "where 5 are needed" in one.why
    (none,) = judge_columns(BORDER, {})
    assert none.verdict == "inconclusive"
