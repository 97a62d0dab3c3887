"""The conditional random field against the definition: every tagging written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from recell.data.tags import may_follow
from recell.errors import RecellError, ShapeError
from recell.nn.crf import CRF, FORBIDDEN, combined

D = torch.float64
LENGTHS = torch.tensor([4, 1, 3])


def field(allowed: Tensor | None = None, tags: int = 3, seed: int = 0) -> CRF:
    torch.manual_seed(seed)
    made = CRF(tags, allowed).to(D)
    torch.nn.init.normal_(made.transitions)
    return made


def by_definition(crf: CRF, scores: Tensor, lengths: Tensor) -> list[dict[tuple[int, ...], Tensor]]:
    """For every row: each tagging's score."""
    moves = crf.transitions.masked_fill(~crf.allowed, FORBIDDEN)
    rows = []
    for n, length in enumerate(lengths.tolist()):
        table = {}
        for path in itertools.product(range(crf.tags), repeat=length):
            steps = itertools.pairwise([crf.tags, *path, crf.tags + 1])
            table[path] = sum(scores[t, n, tag] for t, tag in enumerate(path)) + sum(moves[a, b] for a, b in steps)
        rows.append(table)
    return rows


def case(seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    scores = (3 * torch.randn(4, 3, 3, dtype=D)).requires_grad_()
    return scores, torch.randint(0, 3, (4, 3))


ALLOWED = torch.from_numpy(may_follow(["O", "B-x", "I-x"], "bio"))


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_loss_and_gradients_are_those_of_the_definition(allowed) -> None:
    crf, (scores, tags) = field(allowed), case()
    tags[1:2] = torch.where(tags[1:2] == 2, 0, tags[1:2])
    loss = crf(scores, tags, LENGTHS)
    tables = by_definition(crf, scores, LENGTHS)
    expected = torch.stack([
        torch.logsumexp(torch.stack(list(table.values())), 0) - table[tuple(tags[: len(next(iter(table))), n].tolist())]
        for n, table in enumerate(tables)
    ])  # fmt: skip
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-10)
    weights = torch.tensor([0.3, -1.7, 2.0], dtype=D)
    wanted = torch.autograd.grad((expected * weights).sum(), [scores, crf.transitions])
    found = torch.autograd.grad((loss * weights).sum(), [scores, crf.transitions])
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_the_best_path_and_the_marginals(allowed) -> None:
    for seed in range(5):
        crf, (scores, _) = field(allowed, seed=seed), case(seed)
        tables = by_definition(crf, scores, LENGTHS)
        assert crf.decode(scores, LENGTHS) == [list(max(table, key=lambda path: table[path].item())) for table in tables]
        marginals = crf.marginals(scores, LENGTHS)
        for n, table in enumerate(tables):
            weights = torch.softmax(torch.stack(list(table.values())), 0).tolist()
            for t, tag in itertools.product(range(4), range(3)):
                expected = sum(w for path, w in zip(table, weights, strict=True) if t < len(path) and path[t] == tag)
                assert marginals[t, n, tag].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_the_kernel_gives_what_torchs_operators_give(dtype, monkeypatch) -> None:
    names = ["O", *[f"{letter}-{kind}" for letter in "BIES" for kind in "uvwxyz"]]
    crf = field(torch.from_numpy(may_follow(names, "bioes")), len(names)).to(dtype)
    lengths, tags = torch.arange(21) % 9 + 1, torch.randint(len(names), (9, 21))
    scores, weights = (3 * torch.randn(9, 21, len(names), dtype=dtype)).requires_grad_(), torch.randn(21, dtype=dtype)
    results = []
    for torchs in (False, True):
        monkeypatch.setattr("recell.nn.crf.no_kernel_for", lambda *tensors, torchs=torchs: torchs)
        loss = crf(scores, tags, lengths)
        results.append([loss, *torch.autograd.grad((loss * weights).sum(), [scores, crf.transitions])])
    for found, expected in zip(*results, strict=True):
        reach = 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(found, expected, rtol=10 * reach, atol=reach)


def test_what_does_not_fit_is_refused() -> None:
    crf, (scores, tags) = field(), case()
    for wrong in ((scores[:, :, :2], tags, LENGTHS), (scores, tags.T, LENGTHS), (scores, tags, LENGTHS[:2])):
        with pytest.raises(ShapeError, match="scores are"):
            crf(*wrong)
    for wrong, line in (
        ((scores, tags + 3, LENGTHS), "tags go from 0 to 2"),
        ((scores, tags, LENGTHS - 1), "lengths go from 1 to the 4 steps"),
    ):
        with pytest.raises(RecellError, match=line):
            crf(*wrong)


def test_padding_changes_nothing() -> None:
    crf, (scores, tags) = field(), case()
    worse, wrong = scores.detach().clone(), tags.clone()
    for n, length in enumerate(LENGTHS.tolist()):
        worse[length:, n], wrong[length:, n] = 50.0, 2
    torch.testing.assert_close(crf(worse, wrong, LENGTHS), crf(scores, tags, LENGTHS))
    for n, length in enumerate(LENGTHS.tolist()):
        alone = crf(scores[:length, n : n + 1], tags[:length, n : n + 1], LENGTHS[n : n + 1])
        torch.testing.assert_close(alone[0], crf(scores, tags, LENGTHS)[n])


def test_large_scores_stay_finite() -> None:
    crf = field(ALLOWED)
    scores = torch.randn(30, 2, 3, dtype=D) * 300
    loss = crf(scores.requires_grad_(), torch.zeros(30, 2, dtype=torch.long), torch.tensor([30, 7]))
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(scores.grad).all() and torch.isfinite(crf.transitions.grad).all()


def test_where_only_the_unlikely_is_allowed() -> None:
    crf = field(ALLOWED)
    scores = (torch.randn(6, 3, 3, dtype=D) * 1000).requires_grad_()
    tags, lengths = torch.zeros(6, 3, dtype=torch.long), torch.tensor([6, 2, 4])
    loss = crf(scores, tags, lengths)
    expected = torch.stack([
        torch.logsumexp(torch.stack(list(table.values())), 0) - table[(0,) * int(n)]
        for table, n in zip(by_definition(crf, scores, lengths), lengths, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-8)
    (found,) = torch.autograd.grad(loss.sum(), scores, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected.sum(), scores)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)
    marginals = crf.marginals(scores, lengths)
    inside = torch.arange(6)[:, None] < lengths
    torch.testing.assert_close(marginals.sum(2), inside.to(D))


def test_decoding_obeys_the_scheme_whatever_the_scores() -> None:
    names = ["O", *[f"{letter}-{kind}" for letter in "BIES" for kind in "xy"]]
    crf = CRF(len(names), torch.from_numpy(may_follow(names, "bioes")))
    allowed, lengths = crf.allowed.numpy(), torch.arange(50) % 9 + 1
    paths = [path for size in (5, 1e5) for path in crf.decode(torch.randn(9, 50, len(names)) * size, lengths)]
    for n, path in enumerate(paths):
        n %= 50
        assert len(path) == n % 9 + 1
        assert all(allowed[a, b] for a, b in itertools.pairwise([len(names), *path, len(names) + 1]))


def test_shapes_are_said() -> None:
    with pytest.raises(ShapeError, match="tags, start, end"):
        CRF(3, torch.ones(3, 3, dtype=torch.bool))
    assert np.shape(CRF(3).transitions.detach().numpy()) == (5, 5)


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_the_chain_gives_every_tagging_its_probability(allowed) -> None:
    crf, (scores, _) = field(allowed), case(1)
    marginals, steps = crf.chain(scores.detach(), LENGTHS)
    for n, table in enumerate(by_definition(crf, scores.detach(), LENGTHS)):
        total = torch.logsumexp(torch.stack(list(table.values())), 0)
        for path, score in table.items():
            moved = [float(steps[t, n, a, b]) for t, (a, b) in enumerate(itertools.pairwise(path))]
            found = float(marginals[0, n, path[0]]) * float(np.prod(moved))
            assert found == pytest.approx(float((score - total).exp().detach()), abs=1e-12)
    assert not steps[2, 2].any() and not steps[0, 1].any() and not steps[3].any()  # nothing follows the last


def test_fields_combined_vote_by_the_geometric_mean() -> None:
    fields, several = [field(ALLOWED, seed=seed) for seed in (0, 1)], [case(seed)[0].detach() for seed in (2, 3)]
    both, mean = combined(fields), torch.stack(several).mean(0)
    rows = zip(by_definition(both, mean, LENGTHS), *map(by_definition, fields, several, [LENGTHS] * 2), strict=True)
    for made, *asked in rows:
        for path, score in made.items():
            torch.testing.assert_close(score, torch.stack([table[path] for table in asked]).mean())


def every(crf: CRF, scores: Tensor, tags: Tensor, lengths: Tensor) -> list[Tensor]:
    """Loss, its gradients, marginals and chain."""
    free = scores.clone().requires_grad_()
    loss = crf(free, tags, lengths)
    found = torch.autograd.grad(loss.sum(), [free, crf.transitions])
    return [loss.detach(), *found, crf.marginals(scores, lengths), *crf.chain(scores, lengths)]


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_a_tag_that_falls_behind_may_win(dtype) -> None:
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[:2, :2] = torch.eye(2)
    scores = torch.zeros(200, 2, 2, dtype=dtype)
    scores[:100, :, 1], scores[100:, :, 1] = -8, 16
    crf, tags = CRF(2, allowed).to(dtype), torch.ones(200, 2, dtype=torch.long)
    tags[:, 1] = 0
    loss, by_scores, by_moves, marginals, first, steps = every(crf, scores, tags, torch.tensor([200, 200]))
    assert loss.tolist() == pytest.approx([0, 800], abs=1e-6)
    assert not by_scores[:, 0].any() and (by_scores[:, 1] == torch.tensor([-1, 1])).all()
    assert by_moves[0, 0] == -199 and by_moves[1, 1] == 199
    for probability in (marginals, first):
        assert (probability == torch.tensor([0, 1])).all()
    assert (steps[:-1] == torch.eye(2)).all()


def test_a_tag_that_is_almost_impossible_where_the_other_leads_away() -> None:
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[0, 1] = False
    scores = torch.zeros(200, 1, 2, dtype=D)
    scores[:, :, 0] = -5
    scores[0, 0] = torch.tensor([0.0, -800.0])
    loss, by_scores, by_moves, *_ = every(
        CRF(2, allowed).to(D), scores, torch.zeros(200, 1, dtype=torch.long), torch.tensor([200])
    )
    # the paths: k steps of tag 1, from the first on, and then tag 0; without any, 0 - 5 * 199
    totals = torch.tensor([-5.0 * 199, *(-800 - 5.0 * (200 - k) for k in range(1, 201))], dtype=D)
    truth = totals.softmax(0)
    assert float(loss[0]) == pytest.approx(float(totals.logsumexp(0) - totals[0]), rel=1e-12)
    still = torch.cat([truth[1:].flip(0).cumsum(0).flip(0)])  # tag 1 at each step
    torch.testing.assert_close(by_scores[:, 0], torch.stack([-still, still], 1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(by_moves[1, 0], truth[1:200].sum(), rtol=1e-9, atol=1e-12)


def test_a_tag_that_can_only_be_the_last() -> None:
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[1, :2] = False
    crf, scores = CRF(2, allowed).to(D), torch.zeros(3, 1, 2, dtype=D)
    scores[1, 0, 0] = -1000
    marginals, steps = crf.chain(scores, torch.tensor([3]))
    torch.testing.assert_close(marginals, crf.marginals(scores, torch.tensor([3])))
    torch.testing.assert_close(marginals[:, 0, 1], torch.tensor([0, 0, 0.5], dtype=D))
    torch.testing.assert_close(steps[:2, 0, 0], torch.tensor([[1, 0], [0.5, 0.5]], dtype=D))
    alone, ahead = crf.chain(torch.tensor([[[0.0, 0]], [[-1000, 0]]], dtype=D), torch.tensor([2]))
    torch.testing.assert_close(alone[:, 0], torch.tensor([[1, 0], [0, 1]], dtype=D))
    torch.testing.assert_close(ahead[0, 0], torch.tensor([[0, 1], [0, 0]], dtype=D))


@pytest.mark.parametrize("allowed", [None, ALLOWED])
def test_padding_takes_no_part_whatever_it_holds(allowed) -> None:
    crf, (scores, _) = field(allowed), case()
    tags, worse = torch.zeros(4, 3, dtype=torch.long), scores.detach().clone()
    expected = every(crf, scores.detach(), tags, LENGTHS)
    for fill in (torch.nan, torch.inf, -torch.inf, 1e9):
        for n, length in enumerate(LENGTHS.tolist()):
            worse[length:, n] = fill
        for a, b in zip(every(crf, worse, tags, LENGTHS), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_lengths_and_rows_without_a_tagging_are_refused() -> None:
    crf, (scores, tags) = field(), case()
    for wrong in (torch.tensor([4, 0, 3]), torch.tensor([4, -1, 3]), torch.tensor([5, 1, 3])):
        for call in (
            lambda n: crf(scores, tags, n),
            *(lambda n, of=of: of(scores, n) for of in (crf.marginals, crf.chain, crf.decode)),
        ):
            with pytest.raises(ShapeError, match="lengths go from 1 to the 4 steps of scores; came -?[015]"):
                call(wrong)
    allowed = torch.ones(5, 5, dtype=torch.bool)
    allowed[:3, 4] = False
    for call in (lambda n: field(allowed)(scores, tags, n), lambda n: field(allowed).chain(scores.detach(), n)):
        with pytest.raises(RecellError, match="row 0 of length 4"):
            call(LENGTHS)


@pytest.mark.parametrize("dtype", [torch.float32, D])
def test_a_tag_that_no_path_reaches_is_left_out_however_good_its_scores(dtype) -> None:
    allowed = torch.ones(5, 5, dtype=torch.bool)
    allowed[[0, 2, 3], 1] = False
    scores = torch.randn(40, 1, 3, dtype=dtype)
    scores[:, :, 1] = 200
    crf, tags, length = CRF(3, allowed).to(dtype), torch.zeros(40, 1, dtype=torch.long), torch.tensor([40])
    loss, by_scores, by_moves, marginals, *_ = every(crf, scores, tags, length)
    others = scores[:, :, [0, 2]]
    torch.testing.assert_close(loss, (others.logsumexp(2) - scores[:, :, 0]).sum(0), rtol=1e-5, atol=1e-6)
    expected = others.softmax(2)
    torch.testing.assert_close(marginals[:, :, [0, 2]], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(by_scores[:, :, [0, 2]], expected - torch.tensor([1, 0]), rtol=1e-4, atol=1e-6)
    assert not by_scores[:, :, 1].any() and torch.isfinite(by_moves).all() and not by_moves[:, 1].any()
