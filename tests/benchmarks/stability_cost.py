"""What measuring stability adds to a step: all quantities of `vae.training.step` and the monitor against the
same step without them.

    python -m tests.benchmarks.stability_cost [--rounds 200] [--depth 4]
    python -m tests.benchmarks.stability_cost --rounds 0

64 px, base 32, batch 32, on the bundled scenes. Two copies of one model take the same batches with the same
noise, in turn, 8 steps each (`update_ratio` and `stable_adamw_rms` are measured at one of 8): one through
`TrainState.advance`, one through the forward pass, backward pass and optimizer step alone. Measuring changes
no weight, so the copies must end bit-equal, which is checked. Processor seconds of one thread: other work on
the machine counts less than with a wall clock. Printed are the median over rounds of the ratio and its 95 %
interval, and the share of the limit of 3 %.

Before that, what following a run costs the process alone, in microseconds a step of made-up records: the
monitor one by one and in blocks, and the border labels with a verdict after every step; `--rounds 0` ends
there.

Measured on a 2-core machine busy with other work, bfloat16, 100 rounds, when the monitor took 72 microseconds
a step: 82.0 and 83.9 ms, ratio 1.022 [1.012, 1.029]. In a loop of their own, a step's share: gradient norm
0.21 ms, update_ratio 0.11, stable_adamw_rms 0.29. The monitor takes 35 microseconds one by one, 10 in blocks
of 8 and 7 of 32 or 128, the labels 4.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from data_io import BatchLoader, prepare
from studies.base import LAPTOP
from sweep.store.home import Home
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.timing import Ratio, interleave
from vae.stability.labels import BorderLabels, probe_horizon, verdict
from vae.stability.monitor import StabilityMonitor
from vae.training.hardware import resolve
from vae.training.state import UPDATE_RATIO_EVERY, TrainState

LIMIT = 0.03
FOLLOWED_STEPS = 4096
BLOCKS = (1, 8, 32, 128)


def bare_step(state: TrainState, batch: torch.Tensor) -> None:
    noise = state.draw_noise(len(batch))
    state.optimizer.zero_grad(set_to_none=True)
    terms, _ = state.loss(state.model, batch, noise, 1.0)
    torch.autograd.backward(terms.loss)
    state.optimizer.step()


def compare(config: TrialConfig, loader: BatchLoader, rounds: int) -> Ratio:
    measured, bare = (TrainState(config, loader, None) for _ in range(2))

    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from loader.epoch()

    source, block = endless(), [loader.images[: config.batch_size]]

    def draw() -> None:
        block[:] = [next(source) for _ in range(UPDATE_RATIO_EVERY)]

    def with_quantities() -> None:
        for batch in block:
            measured.advance(batch, 1.0)

    def without() -> None:
        for batch in block:
            bare_step(bare, batch)

    ratio = interleave(without, with_quantities, rounds, clock=time.process_time, before=draw)
    twin = bare.model.state_dict()
    for name, value in measured.model.state_dict().items():
        assert torch.equal(value, twin[name]), f"{name} differs: the steps were not the same"
    return ratio


def made_up_records(steps: int) -> list[dict[str, float]]:
    """What the monitor takes of a step: losses with a few spikes, log-normal gradient norms."""
    rng = np.random.default_rng(0)
    losses = np.exp(5 - 3 * np.arange(steps) / steps + 0.1 * rng.standard_t(3, size=steps))
    norms = np.exp(2 + 0.3 * rng.normal(size=steps))
    others = {"kl_weight": 1.0, "max_logvar": 0.0, "clipped": 0.0, "skipped": 0.0}
    return [
        {"loss": loss, "grad_norm": norm, **others}
        for loss, norm in zip(losses.tolist(), norms.tolist(), strict=True)
    ]


def microseconds_a_step(work: Callable[[], object], steps: int) -> float:
    """Processor time of this thread, the best of five."""
    seconds = []
    for _ in range(5):
        began = time.thread_time()
        work()
        seconds.append(time.thread_time() - began)
    return 1e6 * min(seconds) / steps


def show_following() -> None:
    records = made_up_records(FOLLOWED_STEPS)

    def follow(block: int) -> None:
        monitor = StabilityMonitor()
        for start in range(0, len(records), block):
            monitor.update_block(records[start : start + block])

    def label() -> None:
        labels, horizon = BorderLabels(10 * len(records), 1.0), probe_horizon("useless")
        for record in records:
            labels.update(record["loss"], finite=True)
            verdict("useless", labels.observation(), horizon)

    for block in BLOCKS:
        name = f"in blocks of {block}" if block > 1 else "one by one"
        figure = microseconds_a_step(partial(follow, block), len(records))
        print(f"monitor, {name}: {figure:.1f} microseconds a step")
    print(f"border labels and a verdict: {microseconds_a_step(label, len(records)):.1f} microseconds a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--depth", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    show_following()
    if not options.rounds:
        return
    settings = {
        "model.base_channels": 32,
        "model.encoder_depth": options.depth,
        "model.decoder_depth": options.depth,
        "optim.lr_schedule": "constant",
        "threads": 1,
    }
    config = resolve(with_settings(LAPTOP, settings))
    assert isinstance(config, TrialConfig)
    tiles = prepare(config.data, Home.find().create().cache)
    loader = BatchLoader(tiles.train, config.batch_size, 0, flip=True, rotate=True)
    ratio = compare(config, loader, options.rounds)
    print(f"64 px, base 32, batch 32, depth {options.depth}, {config.precision}, {options.rounds} rounds")
    print(f"step without {1e3 * ratio.seconds_a / UPDATE_RATIO_EVERY:.2f} ms")
    print(f"step with    {1e3 * ratio.seconds_b / UPDATE_RATIO_EVERY:.2f} ms")
    print(f"with / without: {ratio}: {(ratio.median - 1) / LIMIT:.0%} of the limit of {LIMIT:.0%}")


if __name__ == "__main__":
    main()
