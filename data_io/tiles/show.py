"""What `info` prints of cut tiles: scenes or folders with their counts, the hash, what was left out."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from data_io.tiles.entry import CacheEntry, SceneRecord

COUNTED = ("cut", "nodata", "featureless", "train", "validation", "test")

LINES = 20
"""Images, or folders, that are listed one by one."""

OTHERS = "(others)"


def show(entry: CacheEntry, *, verbose: bool = False) -> None:
    """Print it. Of many images, totals by folder are shown unless all are asked for."""
    from rich.console import Console
    from rich.table import Table

    scenes = entry.record.scenes
    table = Table(box=None, pad_edge=False)
    by_folder = len(scenes) > LINES and not verbose
    table.add_column("folder" if by_folder else "scene", overflow="fold")
    table.add_column("images" if by_folder else "pixels", justify="right", no_wrap=True)
    for name in COUNTED:
        table.add_column(name, justify="right", no_wrap=True)
    if by_folder:
        for folder, members in folders_of(scenes).items():
            table.add_row(folder, str(len(members)), *_totals(members))
    else:
        for scene in scenes:
            table.add_row(scene.name, f"{scene.width}x{scene.height}", *_totals([scene]))
    table.add_row("all", str(len(scenes)) if by_folder else "", *_totals(scenes))
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, *(len(scene.name) + 80 for scene in scenes))
    console.print(table)
    print(f"tiles of {entry.config.tile_size} px, mode {entry.config.mode}, hash {entry.record.content_hash}")
    if entry.record.stretch:
        pairs = ", ".join(f"{low:g} to {high:g}" for low, high in entry.record.stretch)
        print(f"stretch: {pairs}")
    for note in entry.notes():
        print(note)
    if by_folder:
        print("--verbose lists every image")
    credit = entry.summary()["credit"]
    if credit:
        print(credit)


def folders_of(scenes: Sequence[SceneRecord]) -> dict[str, list[SceneRecord]]:
    """The images by folder, at the deepest level that gives at most LINES folders.

    Where even the first level gives more, the largest are named and the others counted together.
    """
    chosen = _grouped(scenes, 1)
    for depth in range(2, 2 + max(scene.name.count("/") for scene in scenes)):
        deeper = _grouped(scenes, depth)
        if len(deeper) > LINES:
            break
        chosen = deeper
    if len(chosen) > LINES:
        largest = sorted(chosen, key=lambda folder: -len(chosen[folder]))[: LINES - 1]
        others = [scene for folder, found in chosen.items() if folder not in largest for scene in found]
        chosen = {folder: chosen[folder] for folder in sorted(largest)} | {OTHERS: others}
    return chosen


def _grouped(scenes: Sequence[SceneRecord], depth: int) -> dict[str, list[SceneRecord]]:
    groups: dict[str, list[SceneRecord]] = {}
    for scene in scenes:
        folder = "/".join(PurePosixPath(scene.name).parts[:-1][:depth])
        groups.setdefault(folder or ".", []).append(scene)
    return groups


def _totals(scenes: Sequence[SceneRecord]) -> list[str]:
    return [str(sum(getattr(scene, name) for scene in scenes)) for name in COUNTED]
