"""The conditional random field against the definition: every tagging written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from recell.data.tags import may_follow
from recell.errors import ShapeError
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
    paths = crf.decode(torch.randn(9, 50, len(names)) * 5, torch.arange(50) % 9 + 1)
    allowed = crf.allowed.numpy()
    for n, path in enumerate(paths):
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
