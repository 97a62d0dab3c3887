"""Linear-chain conditional random field: the output of a tagger whose tags depend on their neighbours.

The score of a sentence's tags is the sum of the network's scores and of one number for each pair of neighbouring tags; the
probability is its exponential over that of all possible taggings (Lafferty, McCallum and Pereira 2001; over a recurrent network:
Huang, Xu and Yu 2015, Lample et al. 2016). Tags that may not follow one another have no path at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recell.errors import ShapeError

FORBIDDEN = -1e4  # a score whose exponential is 0 in any precision, and which can still be added up


class CRF(nn.Module):
    """`forward` is the loss, `decode` the best tags.

    Parameter `transitions` (tags + 2, tags + 2): the score of the column's tag after the row's; the last two rows and columns
    are the start and the end. `allowed`, of that shape: False where a tag may not follow another; without it all may.
    """

    allowed: Tensor

    def __init__(self, tags: int, allowed: Tensor | None = None) -> None:
        super().__init__()
        if allowed is None:
            allowed = torch.ones(tags + 2, tags + 2, dtype=torch.bool)
        if tuple(allowed.shape) != (tags + 2, tags + 2):
            raise ShapeError(f"allowed is {tuple(allowed.shape)}; for {tags} tags write one of {(tags + 2, tags + 2)}: "
                             "tags, start, end")
        self.tags = tags
        self.transitions = nn.Parameter(torch.zeros(tags + 2, tags + 2))
        self.register_buffer("allowed", allowed, persistent=False)

    def forward(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The negative log-likelihood of each sentence's tags, (N,).

        scores (T, N, tags), tags (T, N) int64 (what lies beyond a length does not matter), lengths (N,) from 1. A tagging that
        is not allowed has a large finite loss.
        """
        transitions = self._masked()
        partition: Any = _LogPartition.apply(scores, transitions, lengths)
        if not torch.isfinite(partition).all():
            partition = _in_logarithms(scores, transitions, lengths)
        return partition - _path_score(scores, transitions, tags, lengths)

    def marginals(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The probability of each tag at each step, (T, N, tags); 0 beyond a length."""
        transitions = self._masked().detach()
        with torch.no_grad():
            found = _forward_backward(scores, transitions, lengths)[1]
        if not torch.isfinite(found).all():
            with torch.enable_grad():
                free = scores.detach().requires_grad_()
                (found,) = torch.autograd.grad(_in_logarithms(free, transitions, lengths).sum(), free)
        return found.to(scores.dtype)

    def chain(self, scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The marginals (T, N, tags), and (T, N, tags, tags) the probability of the column's tag at t + 1 where the row's is at
        t: a field is a Markov chain, so that a span's probability is a product of these. 0 from the last step on."""
        with torch.no_grad():
            transitions = self._masked()
            _, marginals, before, after = _forward_backward(scores, transitions, lengths)
            moves = transitions[: self.tags, : self.tags].double().exp()
            pairs = before[:, :, :, None] * moves * after[:, :, None]  # (T - 1, N, K, K)
            steps = pairs / marginals[:-1, :, :, None].clamp(min=torch.finfo(torch.float64).tiny)
            return marginals, torch.cat([steps, torch.zeros_like(marginals[:1, :, :, None] * moves)])

    def decode(self, scores: Tensor, lengths: Tensor) -> list[list[int]]:
        """The best allowed tags of each sentence (Viterbi 1967)."""
        with torch.no_grad():
            return viterbi(scores, self._masked(), lengths)

    def _masked(self) -> Tensor:
        return self.transitions.masked_fill(~self.allowed, FORBIDDEN)


def combined(fields: Sequence[CRF]) -> CRF:
    """The field whose transitions are the mean of some fields' of the same tags: with the mean of their scores, their vote.

    The probability of a tagging is the geometric mean of those that they give it, normalised (Hinton 2002's product of experts).
    """
    made = CRF(fields[0].tags, fields[0].allowed)
    made.transitions = nn.Parameter(torch.stack([field.transitions.detach() for field in fields]).mean(0))
    return made


def viterbi(scores: Tensor, transitions: Tensor, lengths: Tensor) -> list[list[int]]:
    """Each row's path of the highest score: scores (T, N, K), transitions (K + 2, K + 2) with start and end, lengths (N,)."""
    steps, rows, count = scores.shape
    best = transitions[count, :count] + scores[0]  # (N, K)
    before = torch.zeros(steps, rows, count, dtype=torch.long, device=scores.device)
    for t in range(1, steps):
        candidates, before[t] = (best[:, :, None] + transitions[:count, :count]).max(1)
        best = torch.where((lengths > t)[:, None], candidates + scores[t], best)
    tag = (best + transitions[:count, count + 1]).argmax(1)
    return _walk_back(tag.tolist(), before.tolist(), lengths.tolist())


def _walk_back(last: list[int], before: list[list[list[int]]], lengths: list[int]) -> list[list[int]]:
    paths: list[list[int]] = []
    for row, length in enumerate(lengths):
        path = [last[row]] if length else []
        for t in range(length - 1, 0, -1):
            path.append(before[t][row][path[-1]])
        paths.append(path[::-1])
    return paths


def _path_score(scores: Tensor, transitions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """The score of given tags, (N,)."""
    steps, rows, count = scores.shape
    inside = torch.arange(steps, device=scores.device)[:, None] < lengths  # (T, N)
    tags = torch.where(inside, tags, 0)
    emitted = scores.gather(2, tags[:, :, None])[:, :, 0]
    before = torch.cat([tags.new_full((1, rows), count), tags[:-1]])
    moved = transitions[before, tags]
    last = tags[lengths - 1, torch.arange(rows, device=scores.device)]
    return torch.where(inside, emitted + moved, 0).sum(0) + transitions[last, count + 1]


class _LogPartition(torch.autograd.Function):
    """log of the sum over all taggings of exp(score), (N,); its gradient are the marginals, found by forward-backward."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
        """The log partition; what the gradient needs is kept."""
        partition, marginals, before, after = _forward_backward(scores, transitions, lengths)
        last = marginals[lengths - 1, torch.arange(len(lengths), device=scores.device)]
        ctx.save_for_backward(marginals, before, after, last, transitions.detach())
        return partition.to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """The expected number of each tag and of each pair of neighbours, times the gradient."""
        marginals, before, after, last, transitions = ctx.saved_tensors
        weight, count = gradients[0].double()[:, None], marginals.shape[2]
        moved = torch.zeros_like(transitions, dtype=torch.float64)
        pairs = (before * weight).flatten(0, 1).T @ after.flatten(0, 1)  # one product for all steps and rows
        moved[:count, :count] = pairs * transitions[:count, :count].double().exp()
        moved[count, :count] = (marginals[0] * weight).sum(0)
        moved[:count, count + 1] = (last * weight).sum(0)
        return (marginals * weight).to(transitions.dtype), moved.to(transitions.dtype), None


def _in_logarithms(scores: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
    """The log partition (N,) where probabilities leave float64's range: slower, step by step, differentiated by autograd."""
    steps, _, count = scores.shape
    transitions, inner = transitions.double(), transitions[:count, :count].double()
    alpha = transitions[count, :count] + scores[0].double()  # (N, K)
    for t in range(1, steps):
        ahead = torch.logsumexp(alpha[:, :, None] + inner, 1) + scores[t].double()
        alpha = torch.where((lengths > t)[:, None], ahead, alpha)
    return torch.logsumexp(alpha + transitions[:count, count + 1], 1).to(scores.dtype)


def _forward_backward(scores: Tensor, transitions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The log partition (N,), the marginals of tags (T, N, K), and two factors (T - 1, N, K) of those of neighbours.

    In probabilities of float64, scaled at every step, so that a step is one matrix product; what lies 700 nats below the best
    counts as 0, and where nothing else is allowed the results are no numbers. The marginal of the pair i, j at t is
    before[t, i] * exp(transitions[i, j]) * after[t, j].
    """
    steps, rows, count = scores.shape
    inside = (torch.arange(steps, device=scores.device)[:, None] < lengths)[:, :, None]  # (T, N, 1)
    emitted = scores.double()
    peak = emitted.max(2, keepdim=True).values  # (T, N, 1)
    likely = (emitted - peak).exp()
    moves = transitions.double().exp()
    inner, start, end = moves[:count, :count], moves[count, :count], moves[:count, count + 1]
    forward, scale = _scaled(likely, start, inner, inside)
    ends = forward[lengths - 1, torch.arange(rows, device=scores.device)] @ end  # (N,)
    partition = torch.where(inside, peak + scale.log(), 0).sum((0, 2)) + ends.log()
    backward, after = torch.empty_like(forward), torch.empty_like(forward[1:])
    first, last = end / ends[:, None], (lengths - 1)[:, None]
    beta = first
    for t in range(steps - 1, -1, -1):
        beta = torch.where(last == t, first, beta)
        backward[t] = torch.where(inside[t], beta, 0)
        if t:
            torch.mul(backward[t], likely[t] / scale[t], out=after[t - 1])
            beta = after[t - 1] @ inner.T
    return partition, forward * backward, forward[:-1], after


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
