"""What measuring stability adds to a step: all quantities of `vae.train` and the monitor against the
same step without them.

    python -m tests.benchmarks.stability_cost [--rounds 10] [--steps 24]

64 px, base 32, batch 32. The bare step has the gradient norm's clipping-free loop only: forward, backward,
optimizer. `update_ratio` and `adam_rms` are measured every 8 steps, so `--steps` should be a multiple of 8.
"""

import argparse

import torch

from studies.base import LAPTOP
from sweep.config import with_settings
from tests.benchmarks.timing import interleave
from vae.hardware import resolve
from vae.optimizers import build
from vae.train import TrainState, forward_loss


class OneBatch:
    """A BatchSource of one batch, so that only the step is timed."""

    def __init__(self, batch: torch.Tensor) -> None:
        self.images = batch

    def __len__(self) -> int:
        return 1

    def epoch(self):  # type: ignore[no-untyped-def]
        yield self.images

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: dict[str, object]) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = {"model.base_channels": 32, "epochs": 1_000_000, "threads": options.threads}
    config = resolve(with_settings(LAPTOP, settings))
    size = config.model.image_size
    batch = torch.randint(0, 256, (config.batch_size, 3, size, size), dtype=torch.uint8)
    measured = TrainState(config, OneBatch(batch), None)
    bare = TrainState(config, OneBatch(batch), None)
    optimizer = build(config.optim, list(bare.model.parameters()))

    def with_quantities() -> None:
        for _ in range(options.steps):
            measured.advance(batch, 1.0)

    def without() -> None:
        for _ in range(options.steps):
            noise = bare.draw_noise(len(batch))
            optimizer.zero_grad(set_to_none=True)
            terms, _ = forward_loss(bare.model, batch, noise, 1.0, precision=config.precision)
            torch.autograd.backward(terms.loss)
            optimizer.step()

    ratio = interleave(without, with_quantities, options.rounds)
    print(f"64 px, base 32, batch 32, depth 4, {config.precision}, {options.threads} threads")
    print(f"step without {1e3 * ratio.seconds_a / options.steps:.2f} ms")
    print(f"step with    {1e3 * ratio.seconds_b / options.steps:.2f} ms")
    print(f"with / without: {ratio}")


if __name__ == "__main__":
    main()
