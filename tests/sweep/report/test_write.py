"""The written report of a study that varies neither depth nor clipping."""

from pathlib import Path

from sweep.report import write_report
from sweep.report.claims import NO_CLAIM
from sweep.search.sampling import search_space
from sweep.store.storage import load, open_optuna
from tests.sweep.report.stores import store
from tests.sweep.report.synthetic import changed
from tests.sweep.report.test_claims import LATENT, LATENTS, latent_trials


def test_it_has_the_groups_the_quality_and_a_sentence_in_place_of_claims(
    tmp_path: Path, without_pngs: None
) -> None:
    trials = [
        changed(
            trial,
            space=search_space(LATENTS),
            attrs={"quality/kid": 2.5, "quality/kid_floor": 0.1, "quality_intervals": {"kid": [2.0, 3.0]}},
        ).stored
        for trial in latent_trials()
    ]
    home = store(tmp_path / "home", trials, name="latents", plan=LATENTS, tracker="files")
    path, document = write_report(home, load(open_optuna(home), "latents"))
    page = path.read_text()
    assert document["claims"] == []
    assert document["claims_note"] == NO_CLAIM
    assert NO_CLAIM in page
    assert "inconclusive" not in page.split("<script", 1)[0].split("</style>")[1]
    groups = document["groups"]
    assert (groups["by"], [group["name"] for group in groups["groups"]]) == ("latent_dim", ["8", "16", "32"])
    assert all(LATENT not in group["settings"] for group in groups["groups"])
    assert "By latent_dim" in page
    assert "Image quality" in page
    assert "2.5 (2 to 3)" in page
    assert document["quality"]["metrics"] == ["mmd_random"]
