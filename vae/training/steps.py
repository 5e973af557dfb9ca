"""How the steps of an epoch are made: one by one, or in blocks without a word between host and device.

One by one, the host reads each step's record before it says what the next step does. In blocks it launches
many steps, launches the next block, and only then reads the first one's records: a GPU never waits for it.
Both give the same records, weights and state, to the last bit.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from vae.loss.kl_schedules import kl_progress, kl_weight
from vae.model.network import VAE
from vae.optim import optimizers
from vae.training.program import Program
from vae.training.sources import IndexedSource
from vae.training.state import TrainState

Record = dict[str, float]
Ended = Callable[[], bool]
BeforeStep = Callable[[float], None]
BLOCK = 32
PROBE_BLOCK = 4
"""A probe ends at a step that is not known before, and what was launched beyond it was in vain."""


class Steps(Protocol):
    """The steps of a run, by epochs."""

    name: str
    settled: bool
    """Whether the run's state is that after the last record given out, so that it can be saved."""
    settle: bool
    """Set to have no more steps launched than records given out, from the next block on."""

    def epoch(self, ended: Ended, before_step: BeforeStep) -> Iterator[list[Record]]:
        """Records of the steps left of the current epoch, in order, up to the one that ends the run.

        ended: whether the run is decided by its labels. before_step: called with the KL weight before each
        step that is made alone.
        """
        ...


def needs_host(state: TrainState) -> str | None:
    """What in the run's settings needs the host in each step, so that its steps are made one by one."""
    config, optim = state.config, state.config.optim
    source = state.source
    reasons = {
        f"optim.guard={optim.guard}": state.guard is not None,
        f"optim.optimizer={optim.optimizer}": not optimizers.takes_found_inf(state.optimizer),
        f"optim.clip={optim.clip}": not state.policy.on_device,
        f"optim.controller={optim.controller}": not state.controller.on_device,
        f"model.kind={config.model.kind}": not isinstance(state.model, VAE),
        # It makes graphs of its own.
        f"compile={config.compile}": config.compile == "reduce-overhead",
        "batches that are not all of one size": (
            not isinstance(source, IndexedSource) or source.plan() is None
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def steps_of(state: TrainState) -> Steps:
    """As `config.step` says, which `vae.training.hardware.resolve` has made explicit."""
    if state.config.step != "graph" or needs_host(state):
        return OneByOne(state)
    return InBlocks(state)


class OneByOne:
    name = "one by one"
    settled = True
    settle = False

    def __init__(self, state: TrainState) -> None:
        self._state = state

    def epoch(self, ended: Ended, before_step: BeforeStep) -> Iterator[list[Record]]:
        state = self._state
        for batch in state.source.epoch():
            weight = kl_weight(state.step, state.total_steps, state.config.objective)
            before_step(weight)
            yield [state.advance(batch, weight)]


@dataclass
class _Block:
    """Launched steps first to end of the epoch, and the run as it was before them."""

    first: int
    end: int
    noise: Tensor
    source: dict[str, Any]
    values: Tensor
    """(steps, names) on the host, as soon as `ready`."""
    ready: torch.cuda.Event | None


class InBlocks:
    """Keeps one block ahead of the records that it gives out.

    Where a run ends within a block, the device has frozen it at the fatal step; the noise generator and the
    source, which went on, are put back to that step. The weights of a probe that its label ends are beyond
    its last step, and nobody asks for them.
    """

    name = "in blocks"

    def __init__(self, state: TrainState) -> None:
        assert isinstance(state.source, IndexedSource)
        self._state = state
        self._source: IndexedSource = state.source
        self._program = Program(state, state.source)
        self._size = BLOCK if state.config.probe.label == "none" else PROBE_BLOCK
        self.settled, self.settle = True, False

    def epoch(self, ended: Ended, before_step: BeforeStep) -> Iterator[list[Record]]:
        state, length = self._state, len(self._source)
        at = int(self._source.state_dict()["position"])
        start = state.step - at
        """Step number of the epoch's first step."""
        numbers = range(start + at, start + length)
        objective, total = state.config.objective, state.total_steps
        self._rates = {step: state.lr_at(step) for step in numbers}
        self._weights = {step: kl_weight(step, total, objective) for step in numbers}
        done = [kl_progress(step, total, objective) for step in numbers]
        self._program.begin(at, [*self._rates.values()], [*self._weights.values()], done)
        batches = None if self._program.resident else self._source.epoch()
        launched: deque[_Block] = deque()
        while at < length or launched:
            while at < length and len(launched) < (1 if self.settle else 2):
                end = min(at + self._size, length)
                launched.append(self._launch(start, at, end, batches))
                at = end
            block = launched.popleft()
            records = self._records(start, block, ended)
            self.settled = not launched
            is_over = state.monitor.nonfinite_step is not None or ended()
            if len(records) < block.end - block.first or is_over:
                self._return_to(block, len(records))
                yield records
                return
            yield records
        if batches is None:
            self._source.end_epoch()
        else:
            assert next(batches, None) is None

    def _launch(self, start: int, first: int, end: int, batches: Iterator[Tensor] | None) -> _Block:
        noise, source = self._state.noise.get_state(), self._source.state_dict()
        for step in range(start + first, start + end):
            self._program.launch(step, None if batches is None else next(batches))
        if batches is None:
            self._source.served(end - first)
        values, ready = self._program.records(first, end), None
        if values.device.type == "cuda":
            pinned = torch.empty(values.shape, pin_memory=True)
            pinned.copy_(values, non_blocking=True)
            # Waited for asleep: lanes that wait busily would take the cores from those that launch.
            ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            ready.record()
            values = pinned
        return _Block(first, end, noise, source, values, ready)

    def _records(self, start: int, block: _Block, ended: Ended) -> list[Record]:
        if block.ready:
            block.ready.synchronize()
        names = self._program.names
        taken = [dict(zip(names, row, strict=True)) for row in block.values.tolist()]
        steps = range(start + block.first, start + block.end)
        weights, rates = [self._weights[s] for s in steps], [self._rates[s] for s in steps]
        records = self._state.observe(taken, weights, rates, ended)
        optimizers.set_lr(self._state.optimizer, records[-1]["lr"])
        return records

    def _return_to(self, block: _Block, count: int) -> None:
        """The generator and the source as they were after `count` steps of the block."""
        state = self._state
        state.noise.set_state(block.noise)
        for _ in range(count):
            self._program.draw_noise()
        self._source.load_state_dict(block.source)
        self._source.served(count)
