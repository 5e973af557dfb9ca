"""A training step that takes everything it needs from tensors on the device, and leaves its record there.

What differs from step to step is written ahead for a whole epoch: which tiles a batch is made from, learning
rates, KL weight. A counter on the device says which step it is. So a step is the same work on the same
tensors every time, which is what a CUDA graph can repeat, and the host has only to say: once more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from vae.training.cuda_graph import Graphed
from vae.training.flat import flatten_buffers
from vae.training.sources import IndexedSource
from vae.training.state import UPDATE_RATIO_EVERY, TrainState
from vae.training.step import train_step


class Program:
    """The steps of one run. After a fatal one the further ones change nothing, however many are launched."""

    def __init__(self, state: TrainState, source: IndexedSource) -> None:
        """source: that of `state`, whose batches are all of one size."""
        device, self.state, self.source = state.device, state, source
        self.steps_per_epoch = len(source)
        self.buffers = flatten_buffers(state.model)
        size = min(state.config.batch_size, len(source.images))
        groups = state.optimizer.param_groups
        # torch's fused kernels read a rate from a GPU as float32, and from a CPU as a number.
        rate = torch.float32 if device.type == "cuda" else torch.float64
        self._rates = [torch.zeros((), dtype=rate, device=device) for _ in groups]
        self._numbers = torch.zeros(self.steps_per_epoch, 2 + len(groups), dtype=torch.float64, device=device)
        self._alive = torch.ones((), dtype=torch.bool, device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._noise = torch.empty(size, state.model.latent_dim, device=device)
        self._resident = source.images.device.type == device.type
        self._images = source.images
        self._rows = torch.zeros(self.steps_per_epoch, size, 4, dtype=torch.int64, device=device)
        self._batch = source.images.new_empty(
            0 if self._resident else size, *source.images.shape[1:], device=device
        )
        self.names: list[str] = []
        self._records: Tensor | None = None
        self._once = {measures: Graphed(device) for measures in (False, True)}

    def begin(
        self, first: int, rates: Sequence[float], weights: Sequence[float], progress: Sequence[float]
    ) -> None:
        """The rest of an epoch, from its step `first` on: learning rate, KL weight and progress of each."""
        scales = [group.get("lr_scale", 1.0) for group in self.state.optimizer.param_groups]
        numbers = [
            [weight, done, *(rate * scale for scale in scales)]
            for rate, weight, done in zip(rates, weights, progress, strict=True)
        ]
        self._at.fill_(first)
        if numbers:
            self._numbers[first:].copy_(torch.tensor(numbers, dtype=torch.float64))
        if self._resident:
            rows = self.source.plan()
            assert rows is not None
            self._rows[first:].copy_(rows)

    def launch(self, step: int, batch: Tensor | None) -> None:
        """Step number `step` of the run; batch: where the tiles do not lie on the device."""
        self.draw_noise()
        if batch is not None:
            self._batch.copy_(batch, non_blocking=True)
        measures = step % UPDATE_RATIO_EVERY == 0
        self._once[measures](partial(self._step, measures))

    def draw_noise(self) -> None:
        """Of one step, from the run's own generator."""
        torch.randn(self._noise.shape, generator=self.state.noise, out=self._noise)

    @property
    def resident(self) -> bool:
        """Whether the training tiles lie on the device, so that steps make their batches there."""
        return self._resident

    def records(self, first: int, end: int) -> Tensor:
        """(end - first, names) float32 on the device: what the steps of this epoch left."""
        assert self._records is not None
        return self._records[first:end]

    def _step(self, measures: bool) -> None:
        state = self.state
        numbers = self._numbers.index_select(0, self._at)[0]
        batch = self._batch
        if self._resident:
            batch = self.source.gather(self._images, self._rows.index_select(0, self._at)[0])
        for rate, number in zip(self._rates, numbers[2:], strict=True):
            rate.copy_(number)
        with _rates_on_device(state.optimizer, self._rates):
            values = train_step(
                state.stepped,
                state.loss,
                state.optimizer,
                state.policy,
                state.skipping,
                batch,
                self._noise,
                kl_weight=numbers[0].float(),
                progress=numbers[1],
                measure_update=measures,
                alive=self._alive,
                buffers=self.buffers,
            )
        if self._records is None:
            self.names = list(values)
            shape = (self.steps_per_epoch, len(values))
            self._records = torch.zeros(shape, device=state.device)
        self._records.index_copy_(0, self._at, torch.stack(list(values.values()))[None])
        self._alive.logical_and_(values["fatal"] == 0)
        self._at.add_(1)


@contextmanager
def _rates_on_device(optimizer: torch.optim.Optimizer, rates: Sequence[Tensor]) -> Iterator[None]:
    """The optimizer reads its groups' rates from these tensors inside.

    torch refuses to capture a step of an optimizer whose groups do not say that they can be.
    """
    before = [dict(group) for group in optimizer.param_groups]
    capturing = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
        if capturing:
            group["capturable"] = True
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, before, strict=True):
            group.clear()
            group.update(values)
