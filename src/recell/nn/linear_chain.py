"""The sums over all paths through a chain of tags: the log partition, the probability of each tag and of each move.

By forward and backward sums (Baum et al. 1970; Rabiner 1989), in float64: in probabilities, where a step is one matrix product,
as long as nothing can have been lost, and in logarithms otherwise. Nothing is lost where

- the scores of allowed moves lie within `WIDEST_MOVE` of 0 and those of a step's tags within `WIDEST_STEP` of its best, and
- every scaled forward sum is 0 or at least `LEAST`.

For then every product that makes the next sum is at least 1e-100 * 1e-50 * 1e-100, far above float64's least normal number: what
is 0 is what no allowed path reaches. A backward sum that is lost belongs to paths whose probability is lost beside 1e-100.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recell.errors import RecellError, message

LEAST = 1e-100
WIDEST_STEP = 230.0  # exp(-230) is about LEAST
WIDEST_MOVE = 115.0  # exp(-115) is about LEAST's root


@dataclass(frozen=True)
class Chain:
    """What the sums are over, in float64: scores (T, N, K), 0 beyond the lengths; inner (K, K), start and end (K,), the scores of
    moves, -inf where there is none; inside (T, N, 1), whether a step is within the length; last (N,), the last step within."""

    scores: Tensor
    inner: Tensor
    start: Tensor
    end: Tensor
    inside: Tensor
    last: Tensor

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """What picks each row's last step out of (T, N, ...)."""
        return self.last, torch.arange(len(self.last), device=self.last.device)

    def gentle(self) -> bool:
        """Whether no single score is too far from the others for probabilities."""
        moves = torch.cat([self.inner.flatten(), self.start, self.end])
        spread = self.scores.amax(2) - self.scores.amin(2)
        return bool((spread <= WIDEST_STEP).all() & ((moves == -torch.inf) | (moves.abs() <= WIDEST_MOVE)).all())


def posterior(scores: Tensor, transitions: Tensor, lengths: Tensor, *, conditional: bool = False) -> Probabilities | Logarithms:
    """The sums for scores (T, N, K), transitions (K + 2, K + 2) with start and end, -inf where a move is forbidden, lengths (N,).

    `conditional`: `steps` will be asked for. RecellError where no allowed path has a row's length.
    """
    steps, _, count = scores.shape
    inside = (torch.arange(steps, device=scores.device)[:, None] < lengths)[:, :, None]
    moves = transitions.double()
    chain = Chain(torch.where(inside, scores, 0).double(), moves[:count, :count], moves[count, :count],
                  moves[:count, count + 1], inside, lengths - 1)  # fmt: skip
    if chain.gentle():
        found = Probabilities(chain)
        if found.exact(conditional=conditional):
            return found
    return Logarithms(chain)


def _kept(sums: Tensor) -> Tensor:
    return ((sums == 0) | (sums >= LEAST)).all()


class Probabilities:
    """The sums, scaled at every step. `partition` (N,) is the log of the sum over all paths, `marginals` (T, N, K) are the
    probabilities of tags, 0 beyond the lengths."""

    def __init__(self, chain: Chain) -> None:
        self._inner = chain.inner.exp()
        peak = chain.scores.amax(2, keepdim=True)  # (T, N, 1)
        likely = (chain.scores - peak).exp()
        self._forward, scale = _scaled(likely, chain.start.exp(), self._inner, chain.inside)
        end = chain.end.exp()
        self._ends = self._forward[chain.ends] @ end  # (N,)
        self.partition = torch.where(chain.inside, peak + scale.log(), 0).sum((0, 2)) + self._ends.log()
        self._backward, self._after = self._back(likely / scale, end / self._ends[:, None], chain.last[:, None])
        self.marginals = self._forward * self._backward

    def _back(self, likely: Tensor, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """The backward sums (T, N, K), scaled so that with the forward ones they are the marginals, and what a move to a tag has
        of them (T - 1, N, K). 0 where no path reaches: it could be anything there."""
        backward, after, reached = torch.empty_like(likely), torch.empty_like(likely[1:]), self._forward > 0
        beta = first
        for t in range(len(likely) - 1, -1, -1):
            beta = torch.where(last == t, first, beta)
            backward[t] = torch.where(reached[t], beta, 0)
            if t:
                torch.mul(backward[t], likely[t], out=after[t - 1])
                beta = after[t - 1] @ self._inner.T
        return backward, after

    def exact(self, *, conditional: bool) -> bool:
        """Whether nothing was lost in the forward sums; `conditional`: nor in the backward ones. False too where no path ends."""
        kept = _kept(self._forward) & (self._ends > 0).all()
        return bool(kept & _kept(self._backward) if conditional else kept)

    def moves(self, weight: Tensor) -> Tensor:
        """The expected number of each move between tags (K, K), rows weighted by weight (N, 1)."""
        return (self._forward[:-1] * weight).flatten(0, 1).T @ self._after.flatten(0, 1) * self._inner  # one product for all

    def steps(self) -> Tensor:
        """(T - 1, N, K, K): the probability of the column's tag at t + 1 where the row's is at t; 0 for one that cannot be."""
        from_here = self._backward[:-1, :, :, None]
        return torch.where(from_here > 0, self._inner * self._after[:, :, None] / from_here, 0)


def _scaled(likely: Tensor, start: Tensor, inner: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """The forward probabilities (T, N, K), each step summing to 1, and the sums that they were divided by (T, N, 1)."""
    forward, scale = torch.empty_like(likely), torch.ones_like(likely[:, :, :1])
    alpha = start * likely[0]
    for t in range(len(likely)):
        if t:
            alpha = (forward[t - 1] @ inner) * likely[t]
        total = alpha.sum(1, keepdim=True)
        scale[t] = torch.where(inside[t], total, 1)
        forward[t] = torch.where(inside[t], alpha / total, 0)
    return forward, scale


class Logarithms:
    """As `Probabilities`, whatever the scores: slower, since a step is K * K exponentials instead of one product."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._forward, self._backward = _forward_logs(chain), _backward_logs(chain)  # (T, N, K), the backward ones unscaled
        self.partition = torch.logsumexp(self._forward[chain.ends] + chain.end, 1)
        without = (self.partition == -torch.inf).nonzero().flatten().tolist()
        if without:
            came = f"row {without[0]} of length {int(chain.last[without[0]]) + 1}, where all are forbidden"
            raise RecellError(message("each row needs one tagging that is allowed", came=came))
        logs = self._forward + self._backward - self.partition[:, None]
        self.marginals = torch.where(chain.inside, logs.exp(), 0)

    def _onward(self, t: int) -> Tensor:
        """(N, K, K): the log of all that follows a tag at t - 1, by the tag at t; -inf beyond the lengths."""
        chain = self._chain
        onward = chain.inner + (chain.scores[t] + self._backward[t])[:, None]
        return torch.where(chain.inside[t, :, :, None], onward, -torch.inf)

    def moves(self, weight: Tensor) -> Tensor:
        """As `Probabilities.moves`."""
        moved = torch.zeros_like(self._chain.inner)
        for t in range(1, len(self._forward)):
            before = (self._forward[t - 1] - self.partition[:, None])[:, :, None]
            moved += torch.einsum("nij,n->ij", (before + self._onward(t)).exp(), weight[:, 0])
        return moved

    def steps(self) -> Tensor:
        """As `Probabilities.steps`."""
        if len(self._forward) == 1:
            return self._chain.scores.new_zeros(0, *self._forward.shape[1:], self._forward.shape[2])
        there = (self._forward > -torch.inf) & (self._backward > -torch.inf)
        found = [(self._onward(t) - self._backward[t - 1, :, :, None]).exp() for t in range(1, len(self._forward))]
        return torch.where(there[:-1, :, :, None], torch.stack(found), 0)


def _forward_logs(chain: Chain) -> Tensor:
    alpha = [chain.start + chain.scores[0]]
    for scores in chain.scores[1:]:
        alpha.append(torch.logsumexp(alpha[-1][:, :, None] + chain.inner, 1) + scores)
    return torch.stack(alpha)


def _backward_logs(chain: Chain) -> Tensor:
    beta, last = [chain.end.expand_as(chain.scores[0])], chain.last[:, None]
    for t in range(len(chain.scores) - 2, -1, -1):
        onward = torch.logsumexp(chain.inner + (chain.scores[t + 1] + beta[-1])[:, None], 2)
        beta.append(torch.where(last > t, onward, chain.end))
    return torch.stack(beta[::-1])
