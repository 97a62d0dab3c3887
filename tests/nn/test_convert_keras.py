"""Keras's layers, held against its equations with every weight another number; their options, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recell.errors import CellError, DataError, RecellError, ShapeError
from recell.nn.convert import from_keras, keras_outputs
from tests.nn.keras_equations import keras_run, random_weights

CONFIGS = [
    ("SimpleRNN", {"activation": "softsign"}),
    ("SimpleRNN", {"go_backwards": True, "use_bias": False}),
    ("LSTM", {"unit_forget_bias": False}),
    ("LSTM", {"activation": "softsign", "recurrent_activation": "hard_sigmoid"}),
    ("GRU", {}),
    ("GRU", {"use_bias": False, "go_backwards": True}),
    ("GRU", {"reset_after": False, "recurrent_activation": "hard_sigmoid"}),
    ("GRU", {"reset_after": False, "use_bias": False}),
]


def drawn(kind, config):
    generator = np.random.default_rng(3)
    weights = random_weights(kind, config, 3, 5, generator)
    x, mask = generator.normal(size=(4, 7, 3)), generator.random((4, 7)) < 0.7
    states = [generator.normal(size=(4, 5)) for _ in range(2 if kind == "LSTM" else 1)]
    return weights, x, mask, states


def as_state(states):
    return {name: torch.tensor(s)[None] for name, s in zip("hc", states, strict=False)}


@pytest.mark.parametrize(("kind", "config"), CONFIGS, ids=str)
def test_a_layer_computes_keras_equations(kind, config):
    weights, x, mask, states = drawn(kind, config)
    layer = from_keras(kind, weights, units=5, dtype="float64", **config)
    y, state = layer(torch.tensor(x), as_state(states), mask=torch.tensor(mask))
    found = keras_outputs(layer, y, state, return_sequences=True, return_state=True)
    expected, last = keras_run(kind, config, weights, x, mask, states)
    for ours, theirs in zip(found, (expected, *last), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-12)
    np.testing.assert_allclose(keras_outputs(layer, y, state).detach(), last[0], atol=1e-12)
    zeroed = keras_outputs(layer, y, state, mask=torch.tensor(mask), return_sequences=True, zero_output_for_mask=True)
    met = mask[:, ::-1] if config.get("go_backwards") else mask
    np.testing.assert_allclose(zeroed.detach(), expected * met[..., None], atol=1e-12)


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave", None])
def test_bidirectional_computes_keras_equations(merge):
    weights, x, mask, states = drawn("LSTM", {})
    others, _, _, back = drawn("LSTM", {})
    others, back = [1.5 * w for w in others], [-0.5 * s for s in back]
    inner = {"class_name": "LSTM", "config": {"units": 5}}
    layer = from_keras("Bidirectional", [*weights, *others], layer=inner, merge_mode=merge, dtype=torch.float64)
    start = {name: torch.tensor(np.stack(pair)) for name, pair in zip("hc", zip(states, back, strict=True), strict=True)}
    y, state = layer(torch.tensor(x), start, mask=torch.tensor(mask))
    forward, f_states = keras_run("LSTM", {}, weights, x, mask, states)
    backward, b_states = keras_run("LSTM", {"go_backwards": True}, others, x, mask, back)
    join = {
        "concat": lambda a, b: np.concatenate((a, b), -1),
        "sum": np.add,
        "mul": np.multiply,
        "ave": lambda a, b: (a + b) / 2,
        None: lambda a, b: np.stack((a, b)),
    }[merge]
    as_one = (lambda pair: torch.stack(pair)) if merge is None else (lambda value: value)
    sequences, *found = keras_outputs(layer, y, state, return_sequences=True, return_state=True)
    np.testing.assert_allclose(as_one(sequences).detach(), join(forward, backward[:, ::-1]), atol=1e-12)
    np.testing.assert_allclose(as_one(keras_outputs(layer, y, state)).detach(), join(f_states[0], b_states[0]), atol=1e-12)
    for ours, theirs in zip(found, (*f_states, *b_states), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-12)


def test_a_backward_layer_of_its_own_is_taken():
    weights, x, _, _ = drawn("GRU", {})
    one, other = wrapped("GRU", units=5), wrapped("GRU", units=5, go_backwards=True)
    found = from_keras("Bidirectional", [*weights, *weights], layer=one, backward_layer=other)
    expected = from_keras("Bidirectional", [*weights, *weights], layer=one)
    x = torch.tensor(x, dtype=torch.float32)
    assert torch.equal(found(x)[0], expected(x)[0])
    with pytest.raises(CellError, match="goes forward with its layer"):
        from_keras("Bidirectional", [*weights, *weights], layer=one, backward_layer=one)
    with pytest.raises(CellError, match="two kinds, widths or activations"):
        from_keras("Bidirectional", [*weights, *weights], layer=one, backward_layer=wrapped("GRU", activation="relu"))


# what layer.get_config() of a keras.layers.LSTM holds
WHOLE = {
    "name": "lstm", "trainable": True, "dtype": {"class_name": "DTypePolicy", "config": {"name": "float32"}},
    "return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False, "unroll": False,
    "zero_output_for_mask": False, "units": 5, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
    "kernel_initializer": None, "recurrent_initializer": None, "bias_initializer": None, "unit_forget_bias": True,
    "kernel_regularizer": None, "recurrent_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
    "kernel_constraint": None, "recurrent_constraint": None, "bias_constraint": None, "dropout": 0.0, "recurrent_dropout": 0.0,
    "seed": None,
}  # fmt: skip


def test_a_whole_configuration_is_taken():
    weights, x, _, _ = drawn("LSTM", {})
    x = torch.tensor(x, dtype=torch.float32)
    assert torch.equal(from_keras("LSTM", weights, **WHOLE)(x)[0], from_keras("LSTM", weights)(x)[0])


def dtype_of(module):
    (dtype,) = {parameter.dtype for parameter in module.parameters()}
    return dtype


def policy(name):
    return {"class_name": "DTypePolicy", "config": {"name": name}}


@pytest.mark.parametrize("given", [np.asarray, list, torch.tensor, lambda w: torch.tensor(w).bfloat16()], ids=range(4))
def test_the_dtype_is_torchs_default_whatever_the_weights_came_in(given):
    weights = [given(w) for w in drawn("LSTM", {})[0]]
    one = wrapped("LSTM", units=5)
    assert dtype_of(from_keras("LSTM", weights)) == torch.float32
    assert dtype_of(from_keras("Bidirectional", [*weights, *weights], layer=one)) == torch.float32
    assert dtype_of(from_keras("RNN", weights, cell=wrapped("LSTMCell", units=5))) == torch.float32
    assert dtype_of(from_keras("Dense", weights[::2])) == torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert dtype_of(from_keras("LSTM", weights)) == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_dtype_may_be_told_as_torch_or_keras_say_it():
    weights, *_ = drawn("LSTM", {})
    for told in (torch.float64, "float64", policy("float64")):
        assert dtype_of(from_keras("LSTM", weights, dtype=told)) == torch.float64
        assert dtype_of(from_keras("Bidirectional", [*weights] * 2, layer=wrapped("LSTM"), dtype=told)) == torch.float64
        assert dtype_of(from_keras("Dense", weights[::2], dtype=told)) == torch.float64
    assert dtype_of(from_keras("LSTM", weights, dtype="mixed_bfloat16")) == torch.float32
    with pytest.raises(DataError, match="there is no dtype of this name; came 'float8'"):
        from_keras("LSTM", weights, dtype="float8")


def test_stacked_cells_are_layers():
    generator = np.random.default_rng(5)
    first, second = (random_weights("GRU", {}, width, 5, generator) for width in (3, 5))
    one = {"class_name": "GRUCell", "config": {"units": 5}}
    stack = {"class_name": "StackedRNNCells", "config": {"cells": [one, one]}}
    layer = from_keras("RNN", [*first, *second], cell=stack, go_backwards=True, dtype="float64")
    x, mask = generator.normal(size=(4, 7, 3)), generator.random((4, 7)) < 0.7
    below, h1 = keras_run("GRU", {"go_backwards": True}, first, x, mask, (np.zeros((4, 5)),))
    above, h2 = keras_run("GRU", {"go_backwards": True}, second, below[:, ::-1], mask, (np.zeros((4, 5)),))
    found = keras_outputs(layer, *layer(torch.tensor(x), mask=torch.tensor(mask)), return_sequences=True, return_state=True)
    for ours, theirs in zip(found, (above, *h1, *h2), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-12)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("kind", "widths"), [("LSTM", (5, 2, 4)), ("GRU", (2, 6)), ("SimpleRNN", (3, 3, 7))])
def test_stacked_cells_of_different_widths_are_layers_of_these_sizes(kind, widths, backwards):
    generator = np.random.default_rng(7)
    sizes = (3, *widths)
    weights = [random_weights(kind, {}, *pair, generator) for pair in zip(sizes[:-1], widths, strict=True)]
    cells_of_it = [{"class_name": f"{kind}Cell", "config": {"units": width}} for width in widths]
    stack = {"class_name": "StackedRNNCells", "config": {"cells": cells_of_it}}
    layer = from_keras("RNN", sum(weights, []), cell=stack, go_backwards=backwards, dtype="float64")
    x, mask = generator.normal(size=(4, 7, 3)), generator.random((4, 7)) < 0.7
    above, lasts = x, []
    for width, own in zip(widths, weights, strict=True):
        zeros = tuple(np.zeros((4, width)) for _ in range(2 if kind == "LSTM" else 1))
        above, last = keras_run(kind, {"go_backwards": backwards}, own, above, mask, zeros)
        above = above[:, ::-1] if backwards else above  # in the order of time, as the next layer is given it
        lasts.append(last)
    y, state = layer(torch.tensor(x), mask=torch.tensor(mask))
    np.testing.assert_allclose(keras_outputs(layer, y, state).detach(), lasts[-1][0], atol=1e-12)
    found, *states = keras_outputs(layer, y, state, return_sequences=True, return_state=True)
    np.testing.assert_allclose(found.detach(), above[:, ::-1] if backwards else above, atol=1e-12)
    for ours, theirs in zip(states, lasts, strict=True):
        for part, other in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
            np.testing.assert_allclose(part.detach(), other, atol=1e-12)


def test_a_cell_that_does_not_read_what_the_one_below_gives_is_refused():
    generator = np.random.default_rng(8)
    one, other = random_weights("GRU", {}, 3, 5, generator), random_weights("GRU", {}, 4, 5, generator)
    stack = {"class_name": "StackedRNNCells", "config": {"cells": [{"class_name": "GRUCell", "config": {"units": 5}}] * 2}}
    with pytest.raises(ShapeError, match=r"the kernel of cell 2 has the wrong shape .* came \(4, 15\); write \(5, any\)"):
        from_keras("RNN", [*one, *other], cell=stack)


def test_dense_has_its_bias():
    generator = np.random.default_rng(6)
    kernel, bias, x = generator.normal(size=(4, 3)), generator.normal(size=3), generator.normal(size=(2, 5, 4))
    layer = from_keras("Dense", [kernel, bias], units=3, dtype=torch.float64)
    assert type(layer) is nn.Linear
    np.testing.assert_allclose(layer(torch.tensor(x)).detach(), x @ kernel + bias, atol=1e-12)


def gru(**config):
    return from_keras("GRU", [np.ones((3, 6)), np.ones((2, 6)), np.ones((2, 6))], **config)


def wrapped(name, **config):
    return {"class_name": name, "config": config}


REFUSED = [
    (lambda: from_keras("ConvLSTM1D", []), CellError, "ConvLSTM1D.*convolution"),
    (lambda: from_keras("Embedding", []), CellError, "Embedding"),
    (lambda: gru(dropout=0.1), CellError, "dropout is not supported; came 0.1"),
    (lambda: gru(stateful=True), CellError, "stateful is not supported.*layer\\(x, state\\)"),
    (lambda: gru(units=3), ShapeError, "kernel has the wrong shape.*\\(any, 9\\)"),
    (lambda: gru(use_bias=False), ShapeError, "has 2 weights; came 3"),
    (lambda: gru(reset_after=False), ShapeError, "bias has the wrong shape"),
    (lambda: gru(activation="softmin"), CellError, "Keras activation"),
    (lambda: gru(reset_befor=True), DataError, "option of Keras's GRU"),
    (lambda: from_keras("Bidirectional", [], merge_mode="sum"), DataError, "Bidirectional needs layer"),
    (lambda: from_keras("Bidirectional", [], layer=wrapped("Dense")), CellError, "Bidirectional of 'Dense'"),
    (lambda: from_keras("RNN", [], cell=wrapped("MyCell")), CellError, "RNN of 'MyCell'"),
    (lambda: from_keras("TimeDistributed", [], layer=wrapped("GRU")), CellError, "around Dense alone; came GRU"),
    (lambda: from_keras("Dense", [np.ones((2, 2))], activation="relu", use_bias=False), CellError, "without an activation"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "line"), REFUSED, ids=lambda part: part if isinstance(part, str) else "")
def test_what_is_not_computed_is_refused_by_name(call, error, line):
    with pytest.raises(RecellError, match=line) as caught:
        call()
    assert type(caught.value) is error and "\n" not in str(caught.value)
