"""Both sides of the whole loop are the same model on the same batches."""

from __future__ import annotations

import torch

from recell.bench.native import clocked
from recell.bench.questions import whole_loop
from recell.nn import LSTM
from recell.tasks import Tagger


def test_torchs_layers_stand_where_recells_stood(monkeypatch) -> None:
    monkeypatch.setattr(whole_loop, "MADE_UP", 40)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    task, examples, said = whole_loop.snips("LSTM")
    assert "made-up" in said and len(examples) == 40
    ours, own = whole_loop.training_of(task, examples, None)
    theirs, layers = whole_loop.training_of(task, examples, "LSTM")
    assert len(own) == len(layers) == 2 and all(isinstance(layer.layer, torch.nn.LSTM) for layer in layers)
    ours.step(), theirs.step()
    assert ours._learner._buckets.position == theirs._learner._buckets.position == 1
    assert 0 < whole_loop.share_of(theirs, layers, steps=2) < 1
    with clocked() as native:
        ours.step()
    assert len(native) == 4 and min(native) > 0  # two layers, forward and backward, both directions in one call


def test_images_of_one_length_are_not_packed(monkeypatch) -> None:
    monkeypatch.setattr(whole_loop, "IMAGES", 130)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    task, examples, said = whole_loop.mnist("GRU")
    assert "noise" in said
    theirs, layers = whole_loop.training_of(task, examples, "GRU")
    (layer,) = layers
    layer.batches = []
    theirs.step()
    assert layer.batches[0][1] is None and layer.batches[0][0].shape[0] == 28


def test_of_images_no_gradient_is_counted(monkeypatch) -> None:
    monkeypatch.setattr(whole_loop, "IMAGES", 100)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    task, examples, _ = whole_loop.mnist("GRU")
    wanted = 2 * 3 * 2 * 28 * 100 * 96 * (2 * 28 + 3 * 96)
    assert whole_loop.operations_of(*whole_loop.training_of(task, examples, None), steps=1) == wanted


def test_operations_are_those_of_the_words_that_are_there(monkeypatch) -> None:
    monkeypatch.setattr(whole_loop, "MADE_UP", 32)
    monkeypatch.delenv("RECELL_DATA", raising=False)
    task, examples, _ = whole_loop.snips("GRU")
    ours, own = whole_loop.training_of(task, examples, None)
    words = sum(len(example.words) for example in examples)
    letters = sum(len(word) for word in {word for example in examples for word in example.words})
    wanted = 2 * 3 * 2 * 3 * (words * 200 * (own[1].input_size + 200) + letters * 25 * (25 + 25))
    assert whole_loop.operations_of(ours, own, steps=1) == wanted  # all sentences are one batch


def test_packed_layers_compute_what_recells_compute() -> None:
    torch.manual_seed(0)
    task = Tagger(cell="LSTM", hidden_size=5, character_size=4)
    examples = task._labelled(*whole_loop.made_up())[:6]
    codec = task._learn_codec(examples)
    network = task._build(task._check(), codec)
    recurrent = network.recurrent
    packed = next(layer for layer in whole_loop.put_packed(network, "LSTM") if layer.layer.hidden_size == 5)
    own = LSTM(recurrent.input_size, 5, bidirectional=True)
    own.load_state_dict(packed.layer.state_dict())
    x, lengths = torch.randn(7, 3, recurrent.input_size), torch.tensor([7, 4, 2])
    torch.testing.assert_close(packed.eval()(x, lengths=lengths)[0], own(x, lengths=lengths)[0])
    assert packed.drop.p == recurrent.input_dropout == task.dropout  # torch's side drops units of the input too
