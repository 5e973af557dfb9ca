"""Which files are taken is told by their names alone, and what is not is counted by reason."""

import pytest

from data_io.sources._choice import LeftOut, Patterns, choose

PRODUCT = "S2A_MSIL2A_20220501T103031_N0400_R108_T32ULA_20220501T151515.SAFE"
GRANULE = f"{PRODUCT}/GRANULE/L2A_T32ULA_A035813_20220501T103457/IMG_DATA"


@pytest.mark.parametrize(
    "hidden",
    [
        ".a.png",
        "a/.b/c.png",
        "._a.jpg",
        "__MACOSX/a.png",
        "x/@eaDir/a.jpg/t.jpg",
        "$RECYCLE.BIN/1.png",
        "lost+found/a.tif",
    ],
)
def test_hidden_files_and_what_systems_leave_behind_are_left_out(hidden: str) -> None:
    choice = choose([hidden, "a.png", "./b.png", "a..b/c.png"], Patterns())
    assert choice.images == ["a.png", "./b.png", "a..b/c.png"]
    assert choice.left_out.by_reason() == {"hidden, or in a hidden folder": 1}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (None, None, {"Forest/a.png", "Forest/b.tif", "River/a.png"}),
        ("*.png", None, {"Forest/a.png", "River/a.png"}),
        ("Forest", None, {"Forest/a.png", "Forest/b.tif"}),
        ("Forest/*.png, River", None, {"Forest/a.png", "River/a.png"}),
        (None, "River,b.*", {"Forest/a.png"}),
        ("*.png", "Forest", {"River/a.png"}),
        ("forest", None, set()),
    ],
)
def test_patterns_match_a_file_or_a_folder(
    include: str | None, exclude: str | None, expected: set[str]
) -> None:
    names = ["Forest/a.png", "Forest/b.tif", "River/a.png"]
    choice = choose(names, Patterns.of(include, exclude))
    assert set(choice.images) == expected
    assert sum(choice.left_out.by_reason().values()) == 3 - len(expected)


def test_one_line_a_reason_names_the_kinds() -> None:
    left_out = choose([f"{i}.csv" for i in range(5)] + ["a.txt", "README", ".x"], Patterns()).left_out
    assert left_out.lines() == [
        "left out: 1 hidden, or in a hidden folder",
        "left out: 7 of kinds that are not read (.csv 5, .txt 1, no suffix 1)",
    ]
    many = LeftOut({("of kinds that are not read", f".{i}"): 1 for i in range(9)})
    assert many.lines() == [
        "left out: 9 of kinds that are not read (.0 1, .1 1, .2 1, .3 1, .4 1, .5 1, ...)"
    ]


def test_the_finest_files_of_a_product_are_found() -> None:
    files = ((10, "B02"), (10, "TCI"), (20, "B02"), (20, "B8A"), (20, "TCI"), (60, "B02"), (60, "B8A"))
    names = [f"{GRANULE}/R{size}m/T32ULA_20220501T103031_{band}_{size}m.jp2" for size, band in files]
    choice = choose([*names, f"{GRANULE}/../QI_DATA/T32ULA_20220501T103031_PVI.jp2"], Patterns())
    (product,) = choice.products
    assert product.true_colour() == names[1]
    assert product.finest(["B02"]) == {"B02": names[0]}
    assert product.finest(["B8A", "B02"]) == {"B8A": names[3], "B02": names[2]}
    assert product.finest(["B8A", "B05"]) == {}
    assert choose(names, Patterns.of("*_60m.jp2", None)).products[0].true_colour() is None


def test_products_of_one_square_stay_apart_and_a_folder_in_one_is_a_product() -> None:
    names = [f"{GRANULE}/T32ULA_20220501T103031_B02.jp2", f"{GRANULE}/T32ULA_20220501T103031_B03.jp2"]
    others = [name.replace("20220501T10", "20230501T10") for name in names]
    assert len(choose(names + others, Patterns()).products) == 2
    inside = [name.rpartition("/")[2] for name in names]
    assert choose(inside, Patterns()).products == []
    assert len(choose(inside, Patterns(), in_product=True).products) == 1
