"""Back-propagation through time that keeps the states of every k-th step alone, and computes the steps between again.

A long sequence then needs the stash of k steps in place of T, for one more forward pass (Chen et al. 2016, "Training Deep Nets
with Sublinear Memory Cost"; for sequences Gruslys et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from recell.compiler.build import Call, Forward, Gradients, Kernel


@dataclass
class Boundaries:
    """What backward needs: the call, and the states that enter each segment, in the order in which they ran."""

    call: Call
    entering: list[tuple[Any, ...]]


class SegmentedKernel:
    """Any kernel, run over `length` steps at a time: its own results, and its own gradients but for the order of sums."""

    def __init__(self, kernel: Kernel, length: int) -> None:
        self.kernel, self.length = kernel, length

    def forward(self, call: Call, *, save: bool) -> Forward:
        """As the kernel's, whose own forward runs where nothing is saved or one segment is all."""
        if not save or call.x.shape[0] <= self.length:
            return self.kernel.forward(call, save=save)
        states, entering, parts = call.states, list[tuple[Any, ...]](), list[Any]()
        for first, last in self._segments(call):
            entering.append(states)
            done = self.kernel.forward(_segment(call, first, last, states), save=False)
            states = done.states
            parts.append(done.y)
        y = _joined(parts[::-1] if call.reverse else parts, call.x)
        return Forward(y, states, Boundaries(call, entering))

    def backward(self, saved: Any, dy: Any, dstates: tuple[Any, ...]) -> Gradients:
        """The segments from the last to the first, each run again with its stash."""
        if not isinstance(saved, Boundaries):
            return self.kernel.backward(saved, dy, dstates)
        call, parts, sums = saved.call, list[Any](), list[Any]()
        for (first, last), states in zip(reversed(self._segments(call)), reversed(saved.entering), strict=True):
            again = self.kernel.forward(_segment(call, first, last, states), save=True)
            found = self.kernel.backward(again.saved, dy[first:last], dstates)
            dstates = found.states
            parts.append(found.x)
            sums = _added(sums, found.parameters)
        dx = None if parts[0] is None else _joined(parts if call.reverse else parts[::-1], call.x)
        return Gradients(dx, dstates, tuple(sums))

    def trace(self, call: Call) -> dict[str, Any]:
        """The kernel's own: a trace keeps every step."""
        return self.kernel.trace(call)

    def _segments(self, call: Call) -> list[tuple[int, int]]:
        """(first, last) of each segment, in the order in which they run."""
        steps = call.x.shape[0]
        bounds = [(first, min(first + self.length, steps)) for first in range(0, steps, self.length)]
        return bounds[::-1] if call.reverse else bounds


def _segment(call: Call, first: int, last: int, states: tuple[Any, ...]) -> Call:
    def part(stream: Any) -> Any:
        return None if stream is None else stream[first:last]

    coins = call.coins and replace(call.coins, first_step=call.coins.first_step + first)
    return replace(call, x=call.x[first:last], states=states, active=part(call.active), mask=part(call.mask),
                   reset=part(call.reset), elapsed=part(call.elapsed), coins=coins)  # fmt: skip


def _joined(parts: Sequence[Any], like: Any) -> Any:
    """(T, ...) of its segments, in the order of time."""
    if hasattr(like, "data_ptr"):
        import torch  # only reached where the caller's own arrays are torch's

        return torch.cat(list(parts))
    import numpy as np

    return np.concatenate(parts)


def _added(sums: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    if not sums:
        return list(more)
    once = {id(total): (total, part) for total, part in zip(sums, more, strict=True) if total is not None}
    for total, part in once.values():  # two parameters' equal gradients may come as one array
        total += part
    return list(sums)
