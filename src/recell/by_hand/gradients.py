"""From the gradient of every time step to the gradient of a parameter: weights are shared, so the steps are summed.

A weight M that multiplies an operand v_t at every step, a_t = M v_t + b, has in it

    da_t,i / dM_ij = v_t,j         and so        dL/dM = sum_t da_t v_t^T
    da_t,i / db_i  = 1             and so        dL/db = sum_t da_t

where da_t is short for dL/da_t (Werbos 1990: the unrolled network has one copy of M a step, and the gradient
of what they share is the sum of theirs). A batch has one more sum, over its rows n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recell.by_hand.checks import Array


@dataclass(frozen=True, eq=False)
class Term:
    """How a parameter enters each step: `da` (T, N, out) the gradient of the sum that it is in, `operand`
    (T, N, in) what it multiplies there; None for a bias."""

    da: Array
    operand: Array | None = None

    def of_each_step(self) -> Array:
        """(T, ...): da_t v_t^T or da_t of each step t, summed over the rows of the batch alone."""
        if self.operand is None:
            return self.da.sum(1)
        return np.einsum("tno,tni->toi", self.da, self.operand)

    def summed(self) -> Array:
        """The sum over all steps, in one matrix product."""
        if self.operand is None:
            return self.da.sum((0, 1))
        return np.tensordot(self.da, self.operand, axes=((0, 1), (0, 1)))


@dataclass(frozen=True, eq=False)
class Gradients:
    """All gradients of a loss L that came out of a backward pass.

    `dx` (T, N, input) is dL/dx; `initial` holds dL/ds_0 by the state's name, (N, hidden); `da` the gradients
    of the sums before each activation, (T, N, hidden), by the gate's name.
    """

    dx: Array
    initial: Mapping[str, Array]
    da: Mapping[str, Array]
    terms: Mapping[str, Term]

    @cached_property
    def parameters(self) -> dict[str, Array]:
        """dL/dparameter by its name, each of its parameter's shape."""
        return {name: term.summed() for name, term in self.terms.items()}

    def of_each_step(self) -> dict[str, Array]:
        """The same before they are summed: (T, *shape); their sum over the first axis is `parameters`."""
        return {name: term.of_each_step() for name, term in self.terms.items()}
