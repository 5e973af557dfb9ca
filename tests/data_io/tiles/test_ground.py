"""A name is a square only where it follows a product's pattern, and folders may name the splits."""

import pytest

from data_io.tiles.ground import Ground, ground_of, own_splits, was_split_otherwise


@pytest.mark.parametrize(
    ("name", "ground"),
    [
        ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57.tif", Ground("33UUP", 26, 57)),
        ("x/S2B_MSIL2A_20170613T101031_N9999_R022_T33UUP_00_07.png", Ground("33UUP", 0, 7)),
        ("S2A_MSIL2A_20170613T101031_N0205_R022_T33UUU_20170613T101608_r3_c12.png", Ground("33UUU", 3, 12)),
        (
            "S2A_MSIL2A_20170613T101031_N0205_R022_T33UUU_20170613T101608_row03_col012.png",
            Ground("33UUU", 3, 12),
        ),
        ("T32ULA_20220501T103031_TCI_60m_4_5.png", Ground("32ULA", 4, 5)),
        ("S2A_MSIL2A_20170613T101031_0_45.tif", Ground("S2A_MSIL2A_20170613T101031", 0, 45)),
        ("S2A_MSIL2A_20170613T101031_0_45_B8A.tif", Ground("S2A_MSIL2A_20170613T101031", 0, 45)),
        ("S2A_MSIL2A_20170613T101031_N0205_R022_T33UUU_20170613T101608.jp2", Ground("33UUU")),
        ("T32ULA_20220501T103031_TCI_60m.jp2", Ground("32ULA")),
        ("L2A_T32ULA_A035813_20220501T103457.png", Ground("32ULA")),
        ("S2A_5QKB_20200101_0_L2A.tif", Ground("05QKB")),
        ("32ULA_20220501_0.png", Ground("32ULA")),  # what `fetch` writes
        ("32ULA_20220501_S2A-0.png", Ground("32ULA")),
        ("S2A_OPER_MSI_L1C_TL_SGS__20151231T103031_A002735_T32ULA_TCI.jp2", Ground("32ULA")),
        ("HLS.S30.T32ULA.2020123T103031.v2.0.png", Ground("32ULA")),
        ("T32ULA.png", Ground("32ULA")),
        ("plot3_20MAR.png", Ground("plot3_20MAR")),
        ("20MAR_plot3.png", Ground("20MAR_plot3")),
        ("roof_12ABC.png", Ground("roof_12ABC")),
        ("field_3_4.png", Ground("field_3_4")),
        ("drone_32ULA_20220501_1_2.png", Ground("drone_32ULA_20220501_1_2")),
    ],
)
def test_the_ground_is_told_by_the_name(name: str, ground: Ground) -> None:
    assert ground_of(name) == ground


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/a/1", "val/a/2", "test/a/3"], ["train", "validation", "test"]),
        (["Train/1", "VALID/2", "Testing/3"], ["train", "validation", "test"]),
        (["set/images/training/1", "set/images/dev/2"], ["train", "validation"]),
        (["train2017/1", "val2017/2"], ["train", "validation"]),
        (["a/train/1", "b/test/2", "c/3"], ["train", "test", None]),
        (["train/test/1", "test/train/2"], ["train", "test"]),
        (["train/1", "train/2"], [None, None]),
        (["test/1", "val/2"], [None, None]),
        (["trains/1", "valley/2", "testbed/3"], [None, None, None]),
        (["a_train.png", "a_test.png"], [None, None]),
    ],
)
def test_folders_name_the_splits(names: list[str], expected: list[str | None]) -> None:
    found = own_splits(names)
    assert [found.get(name) for name in names] == expected


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("forest/1.png", False),
        ("32ULA_20220501_0.png", False),
        ("S2A_MSIL2A_20170613T101031_N0205_R022_T33UUU_20170613T101608.jp2", False),
        ("S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57.tif", True),
        ("plot3_20MAR.png", True),
    ],
)
def test_only_names_that_mean_something_else_than_before_change_the_hash(name: str, changed: bool) -> None:
    assert was_split_otherwise(["a.png", name]) == changed
    assert was_split_otherwise(["train/a.png", f"test/{name}"])
