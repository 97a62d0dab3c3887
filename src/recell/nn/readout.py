"""Readouts in closed form: what a reservoir that is never trained learns by (Jaeger 2001; Lukosevicius 2012)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recell.errors import DataError, ShapeError, whole

__all__ = ["Ridge", "ridge"]


class Ridge:
    """Ridge regression of targets on states; only sums are kept, so that sequences may come in pieces of any length.

    Minimises the sum of (weight h + bias - target)^2 plus `strength` * |weight|^2 (Tikhonov); the bias is not held back. Sums
    and solution are float64. `washout` steps at the start of every `add` are left out: the reservoir still remembers its
    initial state there. A piece that goes on where the one before ended is added with `washout=0`.
    """

    def __init__(self, strength: float = 1e-6, *, washout: int = 0) -> None:
        if not 0 <= strength < math.inf:
            raise DataError(f"strength is a number, 0 or above; came {strength}; write Ridge(1e-6)")
        self.strength = strength
        self.washout = _whole(washout)
        self.count = 0
        self._inner: Tensor | None = None  # (1 + H, 1 + H): the sum of (1, h)^T (1, h)
        self._outer: Tensor | None = None  # (1 + H, K): the sum of (1, h)^T target

    @torch.no_grad()
    def add(self, states: Tensor, targets: Tensor, *, washout: int | None = None) -> Ridge:
        """States (T, ..., H) and targets (T, ..., K) with time first, as `Recurrent` gives them; returns itself.

        Raises ShapeError where they do not fit together or what came before, DataError where one is not finite.
        """
        if states.dim() < 2 or states.shape[:-1] != targets.shape[:-1]:
            raise ShapeError(f"states are (T, ..., H) and targets (T, ..., K); came {tuple(states.shape)} and "
                             f"{tuple(targets.shape)}; write targets.unsqueeze(-1) for one number a step")  # fmt: skip
        from_step = self.washout if washout is None else _whole(washout)
        h, target = (v[from_step:].reshape(-1, v.shape[-1]).double() for v in (states, targets))
        h = torch.cat([h.new_ones(len(h), 1), h], 1)
        inner, outer = h.T @ h, h.T @ target
        if not (inner.isfinite().all() and outer.isfinite().all()):
            raise DataError("states or targets are not finite; look at the input, or draw a reservoir of a smaller radius")
        if self._inner is None or self._outer is None:
            self._inner, self._outer = torch.zeros_like(inner), torch.zeros_like(outer)
        if inner.shape != self._inner.shape or outer.shape != self._outer.shape:
            raise ShapeError(f"what was added before had {len(self._inner) - 1} states and {self._outer.shape[1]} targets; "
                             f"came {len(inner) - 1} and {outer.shape[1]}")  # fmt: skip
        self._inner += inner
        self._outer += outer
        self.count += len(h)
        return self

    def solve(self) -> tuple[Tensor, Tensor]:
        """The weight (K, H) and bias (K,) in float64; DataError where nothing was added or no strength makes it unique."""
        if self._inner is None or self._outer is None or not self.count:
            raise DataError("there is no step to learn from; add sequences that are longer than the washout")
        held = torch.full((len(self._inner),), float(self.strength), dtype=torch.float64, device=self._inner.device)
        held[0] = 0
        factor, failed = torch.linalg.cholesky_ex(self._inner + held.diag())
        if failed:
            raise DataError(f"the states depend on one another too closely for strength={self.strength}; write a larger one")
        solution = torch.cholesky_solve(self._outer, factor)
        return solution[1:].T.contiguous(), solution[0].clone()

    def linear(self, dtype: torch.dtype | None = None) -> nn.Linear:
        """The solution as a module, of torch's default dtype unless given."""
        weight, bias = self.solve()
        made = nn.Linear(weight.shape[1], weight.shape[0], dtype=dtype, device=weight.device)
        with torch.no_grad():
            made.weight.copy_(weight)
            made.bias.copy_(bias)
        return made


def _whole(washout: object) -> int:
    return whole("washout", washout, least=0, rule="is a whole number of steps, 0 or above", write="washout=100", error=DataError)


def ridge(states: Tensor, targets: Tensor, strength: float = 1e-6, *, washout: int = 0) -> tuple[Tensor, Tensor]:
    """The weight (K, H) and bias (K,) in float64 of states (T, ..., H) on targets (T, ..., K): `Ridge` of one piece."""
    return Ridge(strength, washout=washout).add(states, targets).solve()
