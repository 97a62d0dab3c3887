"""The sums over a chain's paths against the definition in logarithms, differentiated by autograd, for scores of every size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from recell.data.tags import may_follow
from recell.nn.linear_chain import Chain, Logarithms, Probabilities, posterior

D = torch.float64
NEVER = -1e13  # to autograd as good as -inf, which has no derivative


def by_definition(scores: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    """The log partition of each row, row by row and step by step."""
    count, sums = scores.shape[2], []
    for n, length in enumerate(lengths.tolist()):
        alpha = moves[count, :count] + scores[0, n]
        for t in range(1, length):
            alpha = torch.logsumexp(alpha[:, None] + moves[:count, :count], 0) + scores[t, n]
        sums.append(torch.logsumexp(alpha + moves[:count, count + 1], 0))
    return torch.stack(sums)


def case(seed: int, spread: float, steps: int = 30, count: int = 4, rows: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, transitions with -inf where forbidden (each tag may follow itself, so that each length has a path) and lengths."""
    draw = torch.Generator().manual_seed(seed)
    scores = spread * torch.randn(steps, rows, count, dtype=D, generator=draw)
    moves = torch.randn(count + 2, count + 2, dtype=D, generator=draw)
    forbidden = torch.rand(moves.shape, generator=draw) < [0, 0.4, 0.8][seed % 3]
    forbidden[:count, :count] &= ~torch.eye(count, dtype=torch.bool)
    forbidden[count, 0] = forbidden[0, count + 1] = False
    lengths = torch.randint(1, steps + 1, (rows,), generator=draw)
    lengths[0] = steps
    return scores, moves.masked_fill(forbidden, -torch.inf), lengths


def expected(scores: Tensor, moves: Tensor, lengths: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The partition, its gradient by the scores, and that of the weighted sum by the moves between tags."""
    free, freed = scores.clone().requires_grad_(), moves.clamp(min=NEVER).requires_grad_()
    partition = by_definition(free, freed, lengths)
    (marginals,) = torch.autograd.grad(partition.sum(), free, retain_graph=True)
    (moved,) = torch.autograd.grad((partition * weight[:, 0]).sum(), freed)
    return partition.detach(), marginals, moved[: scores.shape[2], : scores.shape[2]]


def check(found: Probabilities | Logarithms, given: tuple[Tensor, Tensor, Tensor], reach: float = 1e-10) -> None:
    weight = torch.linspace(-1.3, 2, len(given[2]), dtype=D)[:, None]
    partition, marginals, moved = expected(*given, weight)
    torch.testing.assert_close(found.partition, partition, rtol=1e-13, atol=1e-10)
    torch.testing.assert_close(found.marginals, marginals, rtol=0, atol=reach)
    torch.testing.assert_close(found.moves(weight), moved, rtol=0, atol=reach * len(given[0]))


def check_steps(found: Probabilities | Logarithms, lengths: Tensor) -> None:
    """Going on from every tag's probability by the steps gives the next one's; from a tag that can be there they sum to 1."""
    marginals, steps = found.marginals, found.steps()
    for t in range(len(steps)):
        ahead = (lengths > t + 1)[:, None].to(D)
        torch.testing.assert_close((marginals[t, :, :, None] * steps[t]).sum(1), marginals[t + 1], rtol=0, atol=1e-9)
        sums = steps[t].sum(2)
        torch.testing.assert_close(torch.where(marginals[t] * ahead > 0, sums, 1), torch.ones_like(sums), rtol=0, atol=1e-9)
        assert not sums[lengths <= t + 1].any()


@pytest.mark.parametrize("spread", [1.0, 8.0, 40.0, 150.0, 1e3, 1e4])
@pytest.mark.parametrize("seed", range(6))
def test_scores_of_any_size_whatever_is_forbidden(spread, seed) -> None:
    given = case(seed, spread)
    found = posterior(*given)
    check(found, given, 1e-7 if spread > 1e3 else 1e-9)
    check_steps(posterior(*given, conditional=True), given[2])


@pytest.mark.parametrize("spread", [5.0, 1e4])
def test_long_rows(spread) -> None:
    given = case(2, spread, steps=300, rows=2)
    check(posterior(*given), given, 1e-6 if spread > 5 else 1e-9)


def test_drifts_that_turn() -> None:
    """A tag falls behind step by step, each step harmless, and wins in the end: forwards, and seen from the end backwards."""
    for seed in range(8):
        scores, moves, lengths = case(seed, 1.0, steps=240)
        turn, rate = 60 + 15 * seed, 3.0 * (1 + seed)
        scores[:turn, :, 1] -= rate
        scores[turn:, :, 1] += rate * (1 + seed % 2)
        check(posterior(scores, moves, lengths), (scores, moves, lengths), 1e-8)
        check_steps(posterior(scores, moves, lengths, conditional=True), lengths)


def test_ordinary_scores_are_summed_in_probabilities() -> None:
    names = ["O", *[f"{letter}-{kind}" for letter in "BIES" for kind in "xy"]]
    scores, moves, lengths = case(0, 10.0, steps=60, count=len(names), rows=8)
    moves = moves.masked_fill(~torch.from_numpy(may_follow(names, "bioes")), -torch.inf)
    found = posterior(scores, moves, lengths, conditional=True)
    assert isinstance(found, Probabilities)
    check(found, (scores, moves, lengths))
    check_steps(found, lengths)


def test_logarithms_are_the_same_sums() -> None:
    for seed in range(3):
        scores, moves, lengths = case(seed, 3.0, steps=9)
        inside = (torch.arange(9)[:, None] < lengths)[:, :, None]
        chain = Chain(torch.where(inside, scores, 0), moves[:4, :4], moves[4, :4], moves[:4, 5], inside, lengths - 1)
        slow, fast = Logarithms(chain), Probabilities(chain)
        assert fast.exact(conditional=True)
        weight, pairs = torch.tensor([[0.3], [-2.0], [1.1]], dtype=D), list[tuple[Any, Any]]()
        pairs += (slow.partition, fast.partition), (slow.marginals, fast.marginals), (slow.steps(), fast.steps())
        for a, b in (*pairs, (slow.moves(weight), fast.moves(weight))):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-14)


def test_what_no_path_reaches_and_what_leads_nowhere() -> None:
    """A tag that nothing leads to, whose backward sum would leave every range; and one that nothing follows."""
    moves = torch.zeros(5, 5, dtype=D)
    moves[3, 1] = moves[0, 1] = moves[2, 1] = -torch.inf  # nothing leads to tag 1
    moves[2, :] = -torch.inf  # nothing follows tag 2, and it cannot be the last
    scores = torch.zeros(40, 1, 3, dtype=D)
    scores[:, :, 1], scores[:, :, 2] = 200.0, 3.0
    found = posterior(scores, moves, torch.tensor([40]))
    check(found, (scores, moves, torch.tensor([40])))
    assert isinstance(found, Probabilities)
    torch.testing.assert_close(found.marginals[:, 0, 0], torch.ones(40, dtype=D))
    check_steps(posterior(scores, moves, torch.tensor([40]), conditional=True), torch.tensor([40]))


def test_scores_and_moves_that_exclude() -> None:
    """-inf as a score excludes a tag; a move that is only very unlikely counts where all else is worse."""
    scores, moves, lengths = case(0, 2.0, steps=7)
    moves[1, 2], moves[2, 3], scores[3, :, 1] = -900.0, 700.0, -3e3
    check(posterior(scores, moves, lengths), (scores, moves, lengths))
    scores[2, :, 0] = -torch.inf
    without = scores.clamp(min=NEVER)
    check(posterior(scores, moves, lengths), (without, moves, lengths), 1e-9)
