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

from recell.compiler.backends.cpu.crf import Moves, Tagged, crf_gradient, crf_loss
from recell.errors import ShapeError, message
from recell.nn.linear_chain import posterior
from recell.nn.tensors import KERNEL_DTYPES, no_kernel_for, plain

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
        self._moves: Moves | None = None  # those that are allowed, as the kernel reads them: made when it first runs

    def forward(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The negative log-likelihood of each sentence's tags, (N,).

        scores (T, N, tags), tags (T, N) int64 (what lies beyond a length does not matter), lengths (N,) from 1. A tagging that
        is not allowed has a large finite loss. float64 inside; on the CPU a native kernel, as long as it loses nothing.
        ShapeError for lengths outside 1 to T; RecellError where no tagging of a row's length is allowed.
        """
        self._check_shapes(scores, tags, lengths)
        _check_lengths(scores, lengths)
        natively = scores.dtype == self.transitions.dtype and scores.dtype in KERNEL_DTYPES
        if natively and not no_kernel_for(scores, self.transitions, tags, lengths):
            self._moves = self._moves or Moves(self.allowed[: self.tags, : self.tags].numpy())
            found: Any = _Loss.apply(self._moves, scores, self._masked(-torch.inf), tags, lengths)
            if torch.isfinite(found).all():
                return found
        partition: Any = _LogPartition.apply(scores, self._masked(-torch.inf), lengths)
        losses = partition - _path_score(scores, self._masked(), tags, lengths)
        return losses.to(torch.promote_types(scores.dtype, self.transitions.dtype))

    def _check_shapes(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> None:
        if scores.dim() != 3 or scores.shape[2] != self.tags:
            raise ShapeError(message(f"scores are (T, N, {self.tags})", came=tuple(scores.shape)))
        if tags.shape != scores.shape[:2] or lengths.shape != scores.shape[1:2]:
            came = f"tags {tuple(tags.shape)} and lengths {tuple(lengths.shape)}"
            raise ShapeError(message(f"scores are {tuple(scores.shape)}, so that tags are (T, N) and lengths (N,)", came=came))

    def marginals(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """The probability of each tag at each step, (T, N, tags); 0 beyond a length."""
        _check_lengths(scores, lengths)
        with torch.no_grad():
            return posterior(scores, self._masked(-torch.inf), lengths).marginals.to(scores.dtype)

    def chain(self, scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The marginals (T, N, tags), and (T, N, tags, tags) the probability of the column's tag at t + 1 where the row's is at
        t: a field is a Markov chain, so that a span's probability is a product of these. 0 from the last step on, and from a tag
        that no allowed path has there. float64."""
        _check_lengths(scores, lengths)
        with torch.no_grad():
            found = posterior(scores, self._masked(-torch.inf), lengths, conditional=True)
            return found.marginals, torch.cat([found.steps(), found.marginals.new_zeros(1, *scores.shape[1:], self.tags)])

    def decode(self, scores: Tensor, lengths: Tensor) -> list[list[int]]:
        """The best allowed tags of each sentence (Viterbi 1967)."""
        _check_lengths(scores, lengths)
        with torch.no_grad():
            return viterbi(scores, self._masked(-torch.inf), lengths)

    def _masked(self, score: float = FORBIDDEN) -> Tensor:
        return self.transitions.masked_fill(~self.allowed, score)


def _check_lengths(scores: Tensor, lengths: Tensor) -> None:
    wrong = (lengths < 1) | (lengths > len(scores))
    if wrong.any():
        raise ShapeError(message(f"lengths go from 1 to the {len(scores)} steps of scores", came=int(lengths[wrong][0])))


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
    """The score of given tags, (N,) float64."""
    steps, rows, count = scores.shape
    inside = torch.arange(steps, device=scores.device)[:, None] < lengths  # (T, N)
    tags = torch.where(inside, tags, 0)
    emitted, transitions = scores.gather(2, tags[:, :, None])[:, :, 0].double(), transitions.double()
    before = torch.cat([tags.new_full((1, rows), count), tags[:-1]])
    moved = transitions[before, tags]
    last = tags[lengths - 1, torch.arange(rows, device=scores.device)]
    return torch.where(inside, emitted + moved, 0).sum(0) + transitions[last, count + 1]


class _Loss(torch.autograd.Function):
    """Every sentence's loss by the kernel, as one node of torch's graph; no number where something may have been lost."""

    @staticmethod
    def forward(ctx: Any, moves: Moves, scores: Tensor, transitions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The losses; what the gradient needs is kept."""
        tensors = [plain(tensor) for tensor in (scores.detach(), transitions.detach(), tags.long(), lengths.long())]
        losses, ctx.saved = crf_loss(Tagged(tensors[0], tensors[1], tensors[2], tensors[3], moves, FORBIDDEN))
        ctx.moves = moves
        ctx.save_for_backward(*tensors)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The expected number of each tag and move less what the path has, times the gradient."""
        scores, transitions, tags, lengths = ctx.saved_tensors
        given = Tagged(scores, transitions, tags, lengths, ctx.moves, FORBIDDEN)
        return None, *crf_gradient(given, ctx.saved, plain(gradients[0])), None, None


class _LogPartition(torch.autograd.Function):
    """log of the sum over all taggings of exp(score), (N,) float64; its gradient are the marginals."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, transitions: Tensor, lengths: Tensor) -> Tensor:
        """The log partition; what the gradient needs is kept."""
        ctx.found = posterior(scores.detach(), transitions.detach(), lengths)
        ctx.ends, ctx.dtypes = (lengths - 1, torch.arange(len(lengths), device=lengths.device)), (scores.dtype, transitions.dtype)
        return ctx.found.partition.clone()  # else the graph holds its own result

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """The expected number of each tag and of each pair of neighbours, times the gradient."""
        weight, (of_scores, of_transitions) = gradients[0][:, None], ctx.dtypes
        weighted = ctx.found.marginals * weight
        count = weighted.shape[2]
        moved = weighted.new_zeros(count + 2, count + 2)
        moved[:count, :count] = ctx.found.moves(weight)
        moved[count, :count] = weighted[0].sum(0)
        moved[:count, count + 1] = weighted[ctx.ends].sum(0)
        return weighted.to(of_scores), moved.to(of_transitions), None
