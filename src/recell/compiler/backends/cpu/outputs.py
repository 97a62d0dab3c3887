"""Where y lies: in an array of its own, or in some of the columns of one that several runs over the same x share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recell.compiler.backends.cpu import arrays
from recell.compiler.backends.cpu.assemble import OutputForm


def shared(x: Any, form: OutputForm, reverse: Sequence[bool], *, zero: bool) -> tuple[Any, list[Any]]:
    """One y (T, N, runs * width), and the part of it that each run writes.

    Where y holds states, a part has a slot more: a run forward in time writes its start before the first step, one in reverse
    behind the last. In between both have the same slot for a step.
    """
    steps, rows = x.shape[:2]
    more = int(form.holds_states)
    whole = arrays.empty(x, (steps + 2 * more, rows, form.leading), zero=zero)
    parts = [whole[int(back) * more :][: steps + more, :, number * form.width : (number + 1) * form.width]
             for number, back in enumerate(reverse)]  # fmt: skip
    return arrays.steps_of(whole, more, steps), parts


def lying_as(form: OutputForm, array: Any) -> Any:
    """The array (T, N, width) itself if its rows are as far apart as those of y, or a copy that lies so."""
    steps, rows, width = array.shape
    if arrays.strides(array) == (rows * form.leading, form.leading, 1):
        return array
    copied = arrays.empty(array, (steps, rows, form.leading))[:, :, :width]
    arrays.assign(copied, array)
    return copied
