"""The cache stays sound when several processes use it at once, or are killed while cutting."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from data_io import DataConfig, prepare
from data_io.tiles.splits import SPLITS

RACER = """
import hashlib, logging, sys, time
from pathlib import Path
from data_io import DataConfig
from data_io.tiles.cache import find_or_cut

class Count(logging.Handler):
    cuts = 0
    def emit(self, record):
        Count.cuts += 1

log = logging.getLogger("data_io.tiles.build")
log.setLevel(logging.INFO)
log.addHandler(Count())
config = DataConfig.model_validate_json(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
entry = find_or_cut(config, Path(sys.argv[2]))
pixels = hashlib.sha256(b"".join(tiles.tobytes() for tiles in entry.tiles.values()))
print(Count.cuts, entry.record.content_hash, pixels.hexdigest())
"""

VICTIM = """
import sys, time
from pathlib import Path
import data_io.images.files, data_io.tiles.build, data_io.tiles.cache
from data_io import DataConfig

def stop(*_):
    print("now", flush=True)
    time.sleep(600)

open_raster, scenes = data_io.images.files.open_raster, []
def second_scene(path, *content):
    scenes.append(path)
    return open_raster(path, *content) if len(scenes) == 1 else stop()

if sys.argv[3] == "cutting":
    data_io.images.files.open_raster = second_scene
elif sys.argv[3] == "splitting":
    data_io.tiles.build._write_synced = stop
else:
    rename = Path.replace
    Path.replace = lambda path, target: stop() if path.suffix == ".partial" else rename(path, target)
data_io.tiles.cache.find_or_cut(DataConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def test_two_processes_that_prepare_at_once_cut_once_and_get_the_same(tmp_path: Path) -> None:
    racers = [start(RACER, DataConfig().model_dump_json(), str(tmp_path)) for _ in range(2)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    cuts, hashes, pixels = zip(*(racer.communicate(timeout=100)[0].split() for racer in racers), strict=True)
    assert sorted(cuts) == ["0", "2"]  # the two scenes, by one of them
    assert len(set(hashes)) == len(set(pixels)) == 1
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("moment", ["cutting", "splitting", "renaming"])
def test_a_killed_process_leaves_no_entry_and_the_next_one_cleans_up(
    small: DataConfig, tmp_path: Path, moment: str
) -> None:
    cache = tmp_path / "cache"
    victim = start(VICTIM, small.model_dump_json(), str(cache), moment)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "now\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=60)
    assert [path.suffix for path in cache.iterdir() if path.is_dir()] == [".partial"]
    begun = time.monotonic()
    tiles = prepare(small, cache)
    assert time.monotonic() - begun < 30  # the lock of the dead process is gone
    (entry,) = [path for path in cache.iterdir() if path.is_dir()]
    assert entry.suffix == ""
    undisturbed = prepare(small, tmp_path / "other")
    assert all(torch.equal(getattr(tiles, split), getattr(undisturbed, split)) for split in SPLITS)
