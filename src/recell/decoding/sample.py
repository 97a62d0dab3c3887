"""Drawing symbols one by one from a model's scores: temperature, the k best, the nucleus, or always the best.

NumPy only. Temperature divides the logits (Ackley, Hinton & Sejnowski 1985); ``top_k`` keeps the k best
symbols (Fan et al. 2018); ``top_p`` keeps the fewest best symbols whose probabilities reach p (Holtzman et
al. 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recell.data.drawing import generator_of
from recell.errors import RecellError, is_whole, message

Logits = NDArray[np.floating[Any]]
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """How a symbol is chosen. Temperature 0 takes the best; ``forbidden`` symbols are never chosen."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p"):
            value = getattr(self, name)
            if isinstance(value, bool) or not (isinstance(value, Real) or (value is None and name == "top_p")):
                raise RecellError(message(f"{name} is a number", came=repr(value), write=f"{name}=0.8"))
        if self.top_k is not None and not is_whole(self.top_k):
            raise RecellError(message("top_k is a whole number", came=repr(self.top_k), write="top_k=40"))
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise RecellError(message("temperature is 0 (the best symbol) or above", came=self.temperature, write="0.8"))
        if self.top_k is not None and self.top_k < 1:
            raise RecellError(message("top_k counts symbols, from 1", came=self.top_k, write="40"))
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise RecellError(message("top_p is a probability above 0 and up to 1", came=self.top_p, write="0.9"))

    def probabilities(self, logits: Logits) -> Probabilities:
        """What symbols are drawn with, from their logits; both (symbols,), float64 that sums to 1."""
        scores: Probabilities = np.array(logits, np.float64)
        if np.isnan(scores).any() or np.isposinf(scores).any():
            raise RecellError("the model's scores are not numbers (NaN or infinite), so nothing can be drawn from them")
        scores[list(self.forbidden)] = -np.inf
        if np.isneginf(scores).all():
            raise RecellError("there is no symbol that may be drawn; the vocabulary is empty, or all of it is forbidden")
        if self.temperature == 0:
            return _all_on(int(scores.argmax()), len(scores))
        with np.errstate(over="ignore"):  # a temperature near 0 sends all but the best to -inf
            probabilities = _softmax((scores - scores.max()) / self.temperature)
        if self.top_k is not None:
            probabilities = _keep(probabilities, self.top_k)
        if self.top_p is not None:
            probabilities = _keep(probabilities, _nucleus(probabilities, self.top_p))
        return probabilities

    def choose(self, logits: Logits, generator: np.random.Generator) -> int:
        """One symbol; uses one number of the generator (none at temperature 0)."""
        probabilities = self.probabilities(logits)
        if self.temperature == 0:
            return int(probabilities.argmax())
        cumulative = probabilities.cumsum()
        drawn = generator.random() * cumulative[-1]
        last = np.flatnonzero(probabilities)[-1]  # rounding may bring the number drawn up to the very end
        return int(min(np.count_nonzero(cumulative <= drawn), last))


def sample(
    step: Callable[[int], Logits],
    prompt: Sequence[int],
    length: int,
    *,
    sampling: Sampling | None = None,
    seed: int | np.random.Generator | None = None,
    stop: Iterable[int] = (),
) -> Iterator[int]:
    """Yield up to ``length`` symbols that follow ``prompt`` (one symbol or more), each as soon as it is drawn.

    ``step(symbol) -> logits`` feeds one symbol to the model and keeps its state. A symbol of ``stop`` ends
    the sequence and is not yielded. The same seed draws the same symbols.
    """
    if not len(prompt):
        raise RecellError("the prompt is empty; sampling needs a first symbol, such as the start entry")
    sampling = sampling or Sampling()
    generator = generator_of(seed)
    ends = frozenset(stop)
    for symbol in prompt[:-1]:
        step(symbol)
    symbol = prompt[-1]
    for _ in range(length):
        symbol = sampling.choose(step(symbol), generator)
        if symbol in ends:
            return
        yield symbol


def _softmax(scores: Probabilities) -> Probabilities:
    shifted = np.exp(scores - scores.max())
    return shifted / shifted.sum()


def _keep(probabilities: Probabilities, count: int) -> Probabilities:
    """Only the ``count`` most probable symbols; of equal ones the lower numbers stay."""
    order = np.argsort(-probabilities, kind="stable")
    kept = np.zeros_like(probabilities)
    kept[order[:count]] = probabilities[order[:count]]
    return kept / kept.sum()


def _nucleus(probabilities: Probabilities, top_p: float) -> int:
    """How many of the best symbols it takes to reach ``top_p``."""
    cumulative = np.sort(probabilities)[::-1].cumsum()
    return min(int(np.searchsorted(cumulative, top_p)) + 1, len(probabilities))


def _all_on(symbol: int, count: int) -> Probabilities:
    probabilities = np.zeros(count)
    probabilities[symbol] = 1.0
    return probabilities
