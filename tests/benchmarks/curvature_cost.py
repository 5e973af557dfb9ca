"""What the distances from the edge of stability cost, in forward-backward passes.

    python -m tests.benchmarks.curvature_cost [--rounds 15] [--depth 4]

Laptop base at batch 32 on the bundled scenes, one thread, float32 as in `vae.stability.edge`. A pass is the
loss and its gradient. Interleaved with single passes; processor seconds, median and 95 % interval over
rounds. An edge ratio is all that the one value takes: the gradient, the update direction and the estimator.
"""

import argparse
import time
from collections.abc import Callable

import torch

from data_io import BatchLoader, prepare
from studies.base import LAPTOP
from sweep.store.home import Home
from sweep.study.config import TrialConfig, with_settings
from tests.benchmarks.timing import interleave
from vae.model.latent import fixed_noise
from vae.stability.curvature import alpha, critical_sharpness, edge_ratio_quadratic, undisturbed
from vae.training.hardware import resolve
from vae.training.state import TrainState

LIMIT = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--depth", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    depths = {"model.encoder_depth": options.depth, "model.decoder_depth": options.depth}
    config = resolve(with_settings(LAPTOP, {**depths, "threads": 1}))
    assert isinstance(config, TrialConfig)
    tiles = prepare(config.data, Home.find().create().cache)
    state = TrainState(config, BatchLoader(tiles.train, config.batch_size, 0), None)
    for batch in state.source.epoch():
        state.advance(batch, 1.0)
    batch, lr = tiles.train[: config.batch_size], config.optim.lr
    noise = fixed_noise(len(batch), config.model.latent_dim, state.device)
    edge = state.edge_on(batch, noise)
    loss = edge.loss_function(1.0)

    def one_pass() -> None:
        torch.autograd.grad(loss(), edge.parameters)

    def by_product() -> None:
        _, u = edge.next_update(loss, lr)
        edge_ratio_quadratic(loss, edge.parameters, u, lr)

    def by_search() -> None:
        gradients, u = edge.next_update(loss, lr)
        slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
        critical_sharpness(loss, edge.parameters, u, lr, slope)

    def by_valley() -> None:
        gradients, u = edge.next_update(loss, lr)
        slope = float(sum((g * d).sum() for g, d in zip(gradients, u, strict=True)))
        alpha(loss, edge.parameters, u, lr, slope)

    parts: dict[str, Callable[[], object]] = {
        "edge_ratio": by_product,
        "critical_sharpness": by_search,
        "alpha": by_valley,
        "sharpness at initialisation": lambda: edge.sharpness(1.0),
        "all that curvature_every measures": lambda: edge.measure(1.0, lr),
    }
    print(f"depth {options.depth}, batch {config.batch_size}; limit of one edge_ratio: {LIMIT} passes")
    with undisturbed(state.model):
        for name, work in parts.items():
            ratio = interleave(one_pass, work, options.rounds, clock=time.process_time)
            print(f"{name}: {ratio.median:.1f} passes [{ratio.low:.1f}, {ratio.high:.1f}]")


if __name__ == "__main__":
    main()
