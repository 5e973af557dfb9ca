"""Where a step's time goes, and how far it is from matrix multiplication at the same shapes.

    python -m tests.benchmarks.step_profile [--size 64] [--precision auto] [--threads 1] [--clock wall]

`of the limit`: the seconds of the matrix products that a step's convolutions and linear layers are (forward,
for the weights' gradient, for the input's gradient; each timed alone at its own shape, in the run's
precision), as a share of the step's seconds. 1 would be a step that does nothing but multiply, at this
machine's rate. The table by kind of operation is torch's profiler's, in wall time: only on an idle machine.

Measured in bfloat16 with one thread on a 2-core machine busy with other work (processor seconds): 64 px
78 ms a step, 0.63 of the limit; 224 px 1.88 s, 0.88, where convolutions run at about the rate of a
2048 x 2048 product. By kind, at 64 and 224 px, in wall time on that busy machine and so roughly: convolution
backward 48 and 46 %, forward 21 and 21, linear layers 2 and 20 (in float32; 77 M weights at 224 px), batch
norm 7 and 4, casts and copies 6 and 2, activations 5 and 3, all else 11 and 4.
"""

import argparse
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from data_io import BatchLoader
from sweep.study.config import TrialConfig
from tests.benchmarks.pythae_trainer import configured
from tests.benchmarks.table import Row, show
from tests.benchmarks.turns import CLOCKS, Clock
from vae.model.network import VAE, build_model
from vae.model.pixels import normalise
from vae.training.state import TrainState

KINDS = {
    "convolution backward": ("convolution_backward",),
    "convolution forward": ("mkldnn_convolution", "_convolution", "cudnn_convolution"),
    "batch norm": ("native_batch_norm",),
    "leaky ReLU, tanh": ("leaky_relu", "tanh"),
    "linear layers": ("addmm", "mm"),
    "casts and copies": ("copy_", "clone", "contiguous", "fill_", "zero_"),
    "optimizer": ("_fused_adam_",),
}


class Product(NamedTuple):
    """(m, k) times (k, n)."""

    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        return 2 * self.m * self.k * self.n


def products(model: VAE, batch: int) -> list[Product]:
    """The matrix products of a training step, from the shapes of one forward pass.

    A convolution is (places, inputs x kernel) (inputs x kernel, outputs), places those of the smaller grid;
    its two gradients have the same three sizes. The first layer needs no gradient of its input.
    """
    found: list[Product] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        if isinstance(module, nn.Linear):
            sizes = (len(x), module.in_features, module.out_features)
        elif isinstance(module, nn.ConvTranspose2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            sizes = (x[:, 0].numel(), module.in_channels, module.out_channels * area)
        elif isinstance(module, nn.Conv2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            sizes = (output[:, 0].numel(), module.in_channels * area, module.out_channels)
        else:
            return
        m, k, n = sizes
        found.append(Product(m, k, n))
        found.append(Product(k, m, n))
        if x.requires_grad:
            found.append(Product(m, n, k))

    handles = [module.register_forward_hook(note) for module in model.modules()]
    size = model.config.image_size
    x = normalise(torch.zeros(batch, 3, size, size, dtype=torch.uint8), model.config.output_range)
    model(x, torch.zeros(batch, model.config.latent_dim))
    for handle in handles:
        handle.remove()
    return found


def seconds_of(work: Callable[[], object], clock: Clock, repeats: int) -> float:
    """Median of `repeats`, after one that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        began = clock()
        work()
        taken.append(clock() - began)
    return statistics.median(taken)


def distance(size: int, precision: str, threads: int, clock: str, repeats: int = 5) -> list[Row]:
    torch.set_num_threads(threads)
    config, ticks = configured(size, precision, 1_000, threads), CLOCKS[clock]
    step = training_step(config)
    dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    step()
    shapes = Counter(products(build_model(config.model, 0), config.batch_size))
    flops = sum(p.flops * count for p, count in shapes.items())
    limit = 0.0
    for p, count in shapes.items():
        a, b = torch.randn(p.m, p.k, dtype=dtype), torch.randn(p.k, p.n, dtype=dtype)
        limit += count * seconds_of(lambda a=a, b=b: a @ b, ticks, repeats)  # type: ignore[misc]
    taken = seconds_of(step, ticks, repeats)
    square = torch.randn(2048, 2048, dtype=dtype)
    rate = 2 * 2048**3 / seconds_of(lambda: square @ square, ticks, repeats)
    name = f"step at {size} px, {config.precision}, {threads} threads, {clock} clock"
    note = (
        f"{1e3 * taken:.3g} ms a step, {flops / 1e9:.3g} GFLOP: {flops / taken / 1e9:.3g} GFLOP/s; "
        f"its products alone {flops / limit / 1e9:.3g}, 2048 x 2048 {rate / 1e9:.3g}"
    )
    return [Row(name, limit / taken, "of the limit", note=note)]


def training_step(config: TrialConfig) -> Callable[[], object]:
    size = config.model.image_size
    batch = torch.randint(0, 256, (config.batch_size, 3, size, size), dtype=torch.uint8)
    state = TrainState(config, BatchLoader(batch, len(batch), 0), None)
    return lambda: state.advance(batch, 1.0)


def by_kind(size: int, precision: str, threads: int, steps: int) -> dict[str, float]:
    """Share of the profiled time by kind of operation."""
    torch.set_num_threads(threads)
    step = training_step(configured(size, precision, 1_000, threads))
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(steps):
            step()
    shares: Counter[str] = Counter()
    for event in profiled.key_averages():
        operation = event.key.removeprefix("aten::").removesuffix("_backward")
        name = event.key.removeprefix("aten::")
        kind = next((k for k, names in KINDS.items() if name in names or operation in names), "other")
        shares[kind] += event.self_cpu_time_total
    total = sum(shares.values())
    return {kind: share / total for kind, share in shares.most_common()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, choices=[64, 224], default=64)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path)
    o = parser.parse_args()
    show(distance(o.size, o.precision, o.threads, o.clock), o.json)
    print("\n| kind of operation | share of a step |\n| --- | --- |")
    for kind, share in by_kind(o.size, o.precision, o.threads, 16 if o.size == 64 else 3).items():
        print(f"| {kind} | {share:.1%} |")


if __name__ == "__main__":
    main()
