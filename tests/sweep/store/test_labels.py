"""Short names for paths, and settings in words."""

from sweep.store.labels import describe_settings, short_names


def test_a_name_is_as_short_as_it_can_be_told_from_the_others() -> None:
    paths = ["optim.lr", "model.depth", "teacher.depth"]
    assert short_names(paths) == {
        "optim.lr": "lr",
        "model.depth": "model.depth",
        "teacher.depth": "teacher.depth",
    }


def test_settings_are_told_whatever_is_searched() -> None:
    settings = {"model.latent_dim": 16, "optim.lr": 0.00123456, "optim.clip": "norm"}
    assert describe_settings(settings) == "latent_dim 16, lr 0.0012, clip norm"
    assert describe_settings({"optim.lr_border_fraction": 0.1}) == "lr 0.1 of the border"
    assert describe_settings({}) == ""
