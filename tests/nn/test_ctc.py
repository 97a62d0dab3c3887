"""ctc_loss against torch's, by_hand's and published figures: values, gradients, odd lengths, and what is refused."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from recell import by_hand
from recell.errors import DataError, RecellError, ShapeError
from recell.nn.losses import ctc_loss

PUBLISHED = Path(os.environ.get("RECELL_DATA", "missing")) / "peer_numbers" / "ctc_loss_and_greedy.json"
D = torch.float64
STEPS, ROWS, CLASSES = 23, 6, 11
INPUTS, LABELS = [23, 0, 7, 22, 9, 1], [8, 0, 0, 11, 1, 1]  # reachable all; rows 1 and 2 are empty


def drawn(dtype=D, blank=0):
    """log_probs of a leaf of scores, and targets (N, S) with repeats, padded with numbers that are no labels."""
    scores = torch.randn(STEPS, ROWS, CLASSES, dtype=dtype).requires_grad_()
    targets = torch.randint(1, CLASSES - 1, (ROWS, max(LABELS)))
    targets[0, 3:6] = targets[0, 3]
    targets[targets == blank] = CLASSES - 1
    for row, length in enumerate(LABELS):
        targets[row, length:] = -7 if row % 2 else blank
    return scores, targets


def test_the_blank_may_be_numpys_whole_number():
    scores, targets = drawn(blank=3)
    given = scores.log_softmax(-1), targets, INPUTS, LABELS
    assert torch.equal(ctc_loss(*given, blank=np.int64(3)), ctc_loss(*given, blank=3))


def for_torch(targets):
    return targets.clamp(min=0)


@pytest.mark.parametrize("dtype", (torch.float32, D))
@pytest.mark.parametrize("blank", (0, 4))
@pytest.mark.parametrize("reduction", ("none", "sum", "mean"))
def test_torch_gives_the_same(reduction, blank, dtype, agree, gradients):
    scores, targets = drawn(dtype, blank)
    ours = ctc_loss(scores.log_softmax(-1), targets, INPUTS, LABELS, blank, reduction)
    wide = scores.detach().to(D).requires_grad_()
    theirs = functional.ctc_loss(wide.log_softmax(-1), for_torch(targets), INPUTS, LABELS, blank, reduction)
    agree(ours, theirs.to(dtype))
    agree(gradients(ours, [scores]), [g.to(dtype) for g in gradients(theirs, [wide])])


def test_the_gradient_by_log_probs_is_torchs(agree, gradients):
    scores, targets = drawn()
    leaf = scores.detach().log_softmax(-1).requires_grad_()
    losses = (f(leaf, t, INPUTS, LABELS, 0, "sum") for f, t in ((ctc_loss, targets), (functional.ctc_loss, for_torch(targets))))
    ours, theirs = (gradients(loss, [leaf]) for loss in losses)
    agree(ours, theirs)


def test_the_signature_is_torchs():
    ours, theirs = (inspect.signature(f).parameters for f in (ctc_loss, functional.ctc_loss))
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [(p.name, p.default, p.kind) for p in theirs.values()]


def test_all_forms_of_targets_and_lengths_are_one(agree):
    scores, targets = drawn()
    log_probs = scores.detach().log_softmax(-1)
    first = ctc_loss(log_probs, targets, INPUTS, LABELS, reduction="none")
    joined = torch.cat([row[:length] for row, length in zip(targets, LABELS, strict=True)])
    agree(ctc_loss(log_probs, joined.int(), torch.tensor(INPUTS), torch.tensor(LABELS).int(), reduction="none"), first)
    turned = log_probs.transpose(0, 1).contiguous().transpose(0, 1)
    agree(ctc_loss(turned, targets.t().contiguous().t(), tuple(INPUTS), tuple(LABELS), reduction="none"), first)
    for row, (steps, labels) in enumerate(zip(INPUTS, LABELS, strict=True)):
        for length in (torch.tensor(labels), (labels,)):
            alone = ctc_loss(log_probs[:, row], targets[row, :labels], torch.tensor(steps), length, reduction="none")
            assert alone.dim() == 0
            agree(alone, first[row])


def test_by_hand_gives_the_same():
    scores, targets = drawn()
    losses = ctc_loss(scores.log_softmax(-1), targets, INPUTS, LABELS, reduction="none")
    losses.sum().backward()
    for row, (steps, labels) in enumerate(zip(INPUTS, LABELS, strict=True)):
        if steps:
            logits, own = scores.detach()[:steps, row].numpy(), targets[row, :labels].numpy()
            np.testing.assert_allclose(losses[row].item(), by_hand.ctc_loss(logits, own), rtol=1e-12)
            np.testing.assert_allclose(scores.grad[:steps, row], by_hand.ctc_gradient(logits, own), atol=1e-12)
        assert not scores.grad[steps:, row].any()


def test_steps_beyond_a_sequence_are_not_read():
    scores, targets = drawn()
    log_probs = scores.detach().log_softmax(-1)
    for row, steps in enumerate(INPUTS):
        log_probs[steps:, row] = torch.nan
    log_probs.requires_grad_()
    ctc_loss(log_probs, targets, INPUTS, LABELS).backward()
    assert log_probs.grad.isfinite().all()


@pytest.mark.parametrize("zero_infinity", (False, True))
def test_unreachable_targets(zero_infinity):
    scores = torch.randn(3, 4, 5, dtype=D).requires_grad_()
    targets, inputs, labels = torch.tensor([[1, 1, 2], [1, 2, 3], [1, 2, 0], [2, 2, 0]]), [3, 3, 0, 3], [3, 3, 2, 2]
    losses = ctc_loss(scores.log_softmax(-1), targets, inputs, labels, reduction="none", zero_infinity=zero_infinity)
    unreachable = torch.tensor([True, False, True, False])  # three labels with a repeat need four steps
    assert torch.equal(losses.isinf(), unreachable & (not zero_infinity))
    losses.sum().backward()
    within = (torch.arange(3)[:, None] < torch.tensor(inputs))[..., None].expand_as(scores)
    assert torch.equal(scores.grad.isnan(), within & unreachable[:, None] & (not zero_infinity))
    assert scores.grad[:, 1].any() and scores.grad[:, 3].any() and not scores.grad[:, 0].nan_to_num().any()


@pytest.mark.parametrize("zero_infinity", (False, True))
@pytest.mark.parametrize("place", ((0, 0, 0), (0, 0, 2), (3, 0, 0), (6, 0, 0), (6, 0, 2)))
def test_what_is_no_number_shows(place, zero_infinity):
    """NaN on a path is NaN in the loss and in all of its row's gradient, as torch's is: neither unreachable nor 0."""
    targets, inputs, labels = torch.tensor([[2, 3, 2], [1, 1, 4]]), [7, 6], [3, 2]
    leaf = torch.randn(7, 2, 5, dtype=D).log_softmax(-1)
    leaf[place] = torch.nan
    found = []
    for f in (ctc_loss, functional.ctc_loss):
        log_probs = leaf.clone().requires_grad_()
        losses = f(log_probs, targets, inputs, labels, reduction="none", zero_infinity=zero_infinity)
        losses.sum().backward()
        found.append((losses.isnan(), log_probs.grad.isnan()))
    (nan, gradient), (torchs, torchs_gradient) = found
    assert nan.tolist() == torchs.tolist() == [True, False]
    assert torch.equal(gradient, torchs_gradient)


def test_impossible_symbols_are_no_trap(agree):
    probabilities = torch.tensor([[[0.5, 0.5, 0.0]], [[0.0, 0.5, 0.5]], [[1.0, 0.0, 0.0]]], dtype=D)
    log_probs = probabilities.log().requires_grad_()
    loss = ctc_loss(log_probs, torch.tensor([[1]]), [3], [1], reduction="sum")
    agree(loss, -torch.tensor(0.5, dtype=D).log())  # 1 1 -, - 1 - : of four paths of the first two steps
    loss.backward()
    assert log_probs.grad.isfinite().all()


def test_long_sequences_neither_vanish_nor_drift(agree, gradients):
    scores = (4 * torch.randn(1500, 2, 40)).requires_grad_()
    targets, inputs, labels = torch.randint(1, 40, (2, 300)), [1500, 1320], [300, 299]
    ours = ctc_loss(scores.log_softmax(-1), targets, inputs, labels, reduction="sum")
    wide = scores.detach().to(D).requires_grad_()
    theirs = functional.ctc_loss(wide.log_softmax(-1), targets, inputs, labels, reduction="sum")
    agree(ours, theirs.float())
    torch.testing.assert_close(gradients(ours, [scores])[0].to(D), gradients(theirs, [wide])[0], rtol=0, atol=2e-5)


def test_the_gradient_may_be_asked_for_twice_and_through_other_factors(agree):
    scores, targets = drawn()
    loss = (ctc_loss(scores.log_softmax(-1), targets, INPUTS, LABELS, reduction="none") * torch.arange(1.0, 7, dtype=D)).sum()
    first = torch.autograd.grad(loss, scores, retain_graph=True)
    agree(torch.autograd.grad(loss, scores), first)


def test_a_second_derivative_is_refused_by_name():
    scores, targets = drawn()
    loss = ctc_loss(scores.log_softmax(-1), targets, INPUTS, LABELS)
    (gradient,) = torch.autograd.grad(loss, scores, create_graph=True)
    with pytest.raises(RecellError, match="ctc_loss has no second derivative"):
        gradient.square().sum().backward()


def test_what_the_kernel_leaves_to_torch(agree):
    scores, targets = drawn()
    log_probs, targets = scores.detach().log_softmax(-1), for_torch(targets)
    compiled = torch.compile(lambda y: ctc_loss(y, targets, INPUTS, LABELS), backend="eager")
    agree(compiled(log_probs), ctc_loss(log_probs, targets, INPUTS, LABELS))
    with torch.autocast("cpu", torch.bfloat16):
        halves = log_probs.bfloat16()
        assert ctc_loss(halves, targets, INPUTS, LABELS).dtype == torch.float32


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="RECELL_DATA has the published figures")
def test_published_losses_and_gradients():
    entries = json.loads(PUBLISHED.read_text(encoding="utf-8"))["loss"]
    assert len(entries) == 3
    for entry in entries:
        given = np.log(entry["probabilities"]) if "probabilities" in entry else np.array(entry["logits"])
        for dtype in (torch.float32, D):
            leaf = torch.tensor(given, dtype=dtype).requires_grad_()
            labels = torch.tensor(entry["labels"])
            loss = ctc_loss(leaf.log_softmax(-1), labels, (len(given),), (len(labels),), entry["blank"], "sum")
            loss.backward()
            np.testing.assert_allclose(loss.item(), entry["loss"], atol=1e-5)
            if "grad_wrt_logits" in entry:
                np.testing.assert_allclose(leaf.grad, entry["grad_wrt_logits"], atol=1e-6)


Y, T = torch.zeros(4, 2, 3), torch.ones(2, 2, dtype=torch.int64)
WRONG = [
    ((Y, T, [4, 4], [2, 2], 3), DataError, "blank is one of the 3 classes"),
    ((Y, T, [4, 5], [2, 2]), DataError, r"input_lengths\[1\] is no number of steps; came 5; write 0 to 4"),
    ((Y, T, [4, 4], [2, -1]), DataError, r"target_lengths\[1\] is no number of labels"),
    ((Y, T, [4, 4], [2, 3]), ShapeError, "room for target_lengths"),
    ((Y, T, [4], [2, 2]), ShapeError, "input_lengths has one whole number for each of 2 sequences"),
    ((Y, T.float(), [4, 4], [2, 2]), ShapeError, "targets are whole numbers"),
    ((Y, T[0], [4, 4], [2, 2]), ShapeError, r"\(2, S\), or of all sequences one after the other, \(4,\)"),
    ((Y, 3 * T, [4, 4], [2, 2]), DataError, "labels go from 0 to 2 without the blank, 0; came 3"),
    ((Y, T, [4, 4], [2, 2], 1), DataError, "without the blank, 1; came 1"),
    ((Y.numpy(), T, [4, 4], [2, 2]), ShapeError, r"log_probs is a torch.Tensor; came ndarray; write torch.as_tensor"),
    ((Y[0, 0], T, [4, 4], [2, 2]), ShapeError, "log_probs are"),
    ((Y, T, [4, 4], [2, 2], 0, "avg"), RecellError, "no such reduction"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "error", "line"), WRONG, ids=lambda part: part if isinstance(part, str) else "")
def test_what_does_not_fit_is_one_line(arguments, error, line):
    with pytest.raises(RecellError, match=line) as caught:
        ctc_loss(*arguments)
    assert type(caught.value) is error and "\n" not in str(caught.value)
