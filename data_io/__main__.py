"""`python -m data_io`: fetch scenes, cut tiles into the cache, and show what a source holds."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from data_io.config import DataConfig
from data_io.errors import DataError
from data_io.home import find_home
from data_io.sentinel2.command import OPTION_OF as FETCH_OPTION_OF
from data_io.sentinel2.command import fetch
from data_io.sources import path_of
from data_io.sources.sample import SAMPLE

OPTION_OF = {
    "tile_size": "--tile",
    "max_nodata_fraction": "--max-nodata",
    "validation_fraction": "--validation",
    "test_fraction": "--test",
}
"""The option of each field of DataConfig that is named otherwise."""

Source = Annotated[
    str, typer.Argument(help='A folder, an image, a .zip, a .npy, or "sample" for the bundled scenes.')
]
Include = Annotated[
    str | None, typer.Option("--include", help="Patterns of the images to take, separated by commas.")
]
Exclude = Annotated[str | None, typer.Option("--exclude", help="Patterns of the images to leave out.")]
Bands = Annotated[
    str | None, typer.Option("--bands", help="Bands to show as red, green, blue: 4,3,2 or B04,B03,B02.")
]
Stretch = Annotated[
    str | None, typer.Option("--stretch", help="Percentiles (2,98) or values (0,3000) for black and white.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without images that cannot be used.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show every image, however many there are.")]
Mode = Annotated[
    str | None, typer.Option("--mode", help="tile cuts tiles out of images; resize shrinks whole images.")
]
Tile = Annotated[int | None, typer.Option("--tile", help="Side of a tile in pixels (64).")]
Stride = Annotated[
    int | None, typer.Option("--stride", help="Pixels between tile origins (the tile's side).")
]
BlockTiles = Annotated[int | None, typer.Option("--block-tiles", help="Side of a block in tiles (6).")]
Gap = Annotated[int | None, typer.Option("--gap", help="Pixels left out between blocks (16).")]
MaxNodata = Annotated[
    float | None, typer.Option("--max-nodata", help="Largest share of black pixels (0.01).")
]
MinStd = Annotated[
    float | None, typer.Option("--min-std", help="Least standard deviation of the grey levels (6).")
]
Validation = Annotated[float | None, typer.Option("--validation", help="Share for validation (0.15).")]
Test = Annotated[float | None, typer.Option("--test", help="Share for test (0.15).")]
SplitSeed = Annotated[int | None, typer.Option("--split-seed", help="Seed of the splits (0).")]
Cache = Annotated[
    Path | None, typer.Option("--cache", help="Cache folder ($SWEEP_HOME/cache or ./mlruns/cache).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Turn images into cached, seeded, leak-free tiles.",
)
app.command("fetch", help="Fetch Sentinel-2 scenes from S3 into a folder.")(fetch)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0 when done, and 2 for a user's mistake, after one sentence on stderr."""
    # A class of click, or its copy in newer versions of typer.
    usage_error: type[Exception] = typer.BadParameter.__bases__[0]
    try:
        result = typer.main.get_command(app).main(
            arguments, prog_name="python -m data_io", standalone_mode=False
        )
    except DataError as error:
        message = str(error)
    except ValidationError as error:
        message = _validation_message(error)
    except usage_error as error:
        message = error.format_message()  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        return 130
    else:
        return result if isinstance(result, int) else 0
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


@app.command("prepare", help="Cut a source into tiles and keep them in the cache.")
@app.command(
    "info", help="Show the scenes, tiles, rejections, splits and hash of a source; cuts it if necessary."
)
def prepare_or_info(
    context: typer.Context,
    source: Source,
    *,
    include: Include = None,
    exclude: Exclude = None,
    bands: Bands = None,
    stretch: Stretch = None,
    skip_bad: SkipBad = False,
    mode: Mode = None,
    tile_size: Tile = None,
    stride: Stride = None,
    block_tiles: BlockTiles = None,
    gap: Gap = None,
    max_nodata_fraction: MaxNodata = None,
    min_std: MinStd = None,
    validation_fraction: Validation = None,
    test_fraction: Test = None,
    split_seed: SplitSeed = None,
    cache: Cache = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Both commands take the same options and open the same tiles; they only print different things."""
    given = {name: context.params[name] for name in DataConfig.model_fields if name in context.params}
    config = DataConfig(**{name: value for name, value in given.items() if value is not None})
    cache_dir = cache or default_cache()

    from rich.console import Console

    from data_io.tiles.cache import find_or_cut
    from data_io.tiles.show import show

    fetched = _manifest_summary(source)
    try:
        with Console(stderr=True).status(f"Preparing tiles of {source}"):
            entry = find_or_cut(config, cache_dir)
    except DataError as error:
        if fetched and "kept" not in fetched["decisions"]:
            raise DataError(
                f"a fetch kept no scene in {source} ({_decisions(fetched)}): fetch with other dates, or with "
                "larger --max-cloud and --max-nodata"
            ) from error
        raise
    if as_json:
        print(
            json.dumps(
                entry.summary() | {"cache": str(cache_dir)} | ({"fetched": fetched} if fetched else {})
            )
        )
    elif context.info_name == "info":
        show(entry, verbose=verbose)
        if fetched:
            _show_fetched(fetched)
    else:
        counts = ", ".join(f"{len(tiles)} {split}" for split, tiles in entry.tiles.items())
        print(
            f"{counts} tiles of {config.tile_size} px in {cache_dir}, hash {entry.record.content_hash[:16]}"
        )
        for note in entry.notes():
            print(note)


def default_cache() -> Path:
    """The folder `cache` in the home folder: `mlruns`, or what the environment variable SWEEP_HOME names."""
    return find_home() / "cache"


def _manifest_summary(source: str) -> dict[str, Any] | None:
    """The summary of the manifest in a folder that `fetch` filled; None for any other source."""
    from data_io.sentinel2.manifest import Manifest, summary

    try:
        entries = Manifest(path_of(source)).entries() if source != SAMPLE else {}
    except OSError:
        return None  # the source is a file, or its manifest cannot be read
    return summary(entries) if entries else None


def _show_fetched(fetched: dict[str, Any]) -> None:
    print(f"fetched: {fetched['scenes']} scenes found, of which {_decisions(fetched)}")
    if fetched["first"]:
        print(f"kept: {fetched['squares']} squares, sensed from {fetched['first']} to {fetched['last']}")
    if fetched["credit"]:
        print(fetched["credit"])


def _decisions(fetched: dict[str, Any]) -> str:
    return ", ".join(f"{count} {decision}" for decision, count in fetched["decisions"].items())


def _validation_message(error: ValidationError) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0]) if first["loc"] else ""
    reason = first["msg"].removeprefix("Value error, ")
    if not field:
        return reason
    option = (OPTION_OF | FETCH_OPTION_OF).get(field) or f"--{field.replace('_', '-')}"
    return f"{option} {first['input']!r} is not valid: {reason[0].lower()}{reason[1:]}"


if __name__ == "__main__":
    sys.exit(main())
