"""Keras's layers, held against its published figures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import recell.nn as rnn
from recell import cell
from recell.nn.convert import from_keras, keras_outputs
from tests.nn.keras_equations import GATES

PUBLISHED = Path(os.environ.get("RECELL_DATA", "missing")) / "peer_numbers" / "keras_rnn_literals.json"
PEERS = json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.is_file() else {}
published = pytest.mark.skipif(not PEERS, reason="RECELL_DATA has Keras's published figures")


def arange(*sizes):
    return np.arange(np.prod(sizes), dtype=np.float32).reshape(sizes)


def constant_weights(case, width, of):
    """Every kernel's entry one number, every recurrent kernel's and bias's another, as Keras's tests have them."""
    units, gates = case["units"], GATES[case["cell"]]
    rows = (2,) if case["cell"] == "GRU" and case.get("reset_after", True) else ()
    bias = np.full((*rows, gates * units), of["bias_const"])
    if case["cell"] == "LSTM" and case.get("unit_forget_bias", True):
        bias[units : 2 * units] = 1
    weights = [np.full((width, gates * units), of["kernel_const"]), np.full((units, gates * units), of["recurrent_const"]), bias]
    return [w.astype(np.float32) for w in weights[: 3 if case.get("use_bias", True) else 2]]


def converted(case):
    width = case["x"][-1]
    config = {
        name: case[name] for name in ("units", "use_bias", "go_backwards", "reset_after", "unit_forget_bias") if name in case
    }
    weights = constant_weights(case, width, case)
    if "bidirectional" not in case:
        return from_keras(case["cell"], weights, **config)
    weights += constant_weights(case, width, case.get("backward", case))
    layer = {"class_name": case["cell"], "config": config}
    return from_keras("Bidirectional", weights, layer=layer, merge_mode=case["bidirectional"])


def initial_state(case):
    if "init_scales" in case:  # h_f, c_f, h_b, c_b
        h_f, c_f, h_b, c_b = (scale * arange(2, case["units"]) for scale in case["init_scales"])
        return {"h": torch.tensor(np.stack((h_f, h_b))), "c": torch.tensor(np.stack((c_f, c_b)))}
    found = {name: torch.tensor(arange(*case[key][1:]))[None] for name, key in (("h", "h0"), ("c", "c0")) if key in case}
    return found or None


@published
@pytest.mark.parametrize("case", PEERS.get("cases", []), ids=lambda case: case["name"].partition("_test.test_")[2])
def test_keras_layers(case):
    layer, x = converted(case), torch.tensor(arange(*case["x"][1:]))
    mask = torch.tensor(case["mask"], dtype=torch.bool) if "mask" in case else None
    state = initial_state(case)
    for _ in range(case.get("calls", 1)):
        y, state = layer(x, state, mask=mask)
    options = {name: case[name] for name in ("return_sequences", "zero_output_for_mask") if name in case}
    found, *states = keras_outputs(layer, y, state, mask=mask, return_state=True, **options)
    np.testing.assert_allclose(found.detach(), case["expect"], rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(states, case.get("expect_states", {}).values(), strict="expect_states" in case):
        np.testing.assert_allclose(ours.detach(), theirs, rtol=1e-5, atol=1e-5)


@cell
def OneState(p, x, h):
    h = p.W @ x + p.U @ h
    return h


@cell(output="y")
def TwoStates(p, x, h):  # Keras's second state is never read: here it is a local
    second = p.V @ x + p.R @ h
    h = p.W @ x + p.U @ h
    y = h + second  # noqa: F841
    return h


def numbers(text):
    """arange(2,3,4) or ones(1,2,3), as the file writes them."""
    name, _, sizes = text.partition("(")
    sizes = [int(n) for n in sizes.rstrip(")").split(",")]
    return torch.tensor(arange(*sizes) if name == "arange" else np.ones(sizes, np.float32))


def integer_layers(case, width):
    layers = []
    for name in case["cell"].removeprefix("stack ").split("),"):
        kind, _, units = name.rstrip(")").partition("(")
        layer = rnn.Recurrent(
            OneState if kind == "OneState" else TwoStates,
            width,
            int(units),
            batch_first=True,
            reverse=case.get("go_backwards", False),
        )
        layers.append(layer.initialize(**{p.name: 1.0 for p in layer.cell.graph.parameters}))
        width = int(units)
    return layers


def run_layers(layers, x, states, mask):
    final = []
    for layer, state in zip(layers, states, strict=True):
        x, new = layer(x, state, mask=mask)
        final.append(new)
    return x, final


INTEGERS = [case for case in PEERS.get("integer_cell_cases", {}).get("cases", []) if "LSTM" not in case["cell"]]


@published
@pytest.mark.parametrize("case", INTEGERS, ids=lambda case: f"{case['cell']}-{case['x']}{'-back' * ('go_backwards' in case)}")
def test_keras_own_cells_are_cells_here(case):
    x = numbers(case["x"])
    layers = integer_layers(case, x.shape[-1])
    start = {s.name: torch.ones(1, len(x), layers[0].hidden_size) for s in layers[0].cell.states} if "h0" in case else None
    mask = torch.tensor(case["mask"], dtype=torch.bool) if "mask" in case else None
    y, states = run_layers(layers, x, [start] * len(layers), mask)
    again, _ = run_layers(layers, x, states, mask)
    last = 0 if "go_backwards" in case else -1
    if mask is not None:
        assert torch.equal(states[0]["h"][0], torch.tensor(case["last"], dtype=torch.float32))
    elif "last" in case:
        assert torch.equal(y[:, last], torch.tensor(case["last"], dtype=torch.float32))
    if "seq" in case:
        assert torch.equal(y, torch.tensor(case["seq"], dtype=torch.float32))
    if "states" in case:
        second = layers[0].trace(x)["second_l0"][:, -1]
        assert [states[0]["h"][0].tolist(), second.tolist()] == case["states"]
    for number, name in enumerate(("state_1", "state_2")):
        if name in case:
            assert states[number]["h"][0].tolist() == case[name]
    if "stateful_second_call" in case:
        assert torch.equal(again[:, -1], torch.tensor(case["stateful_second_call"], dtype=torch.float32))


@published
def test_keras_stacked_lstm_cells():
    case = next(case for case in PEERS["integer_cell_cases"]["cases"] if "LSTM" in case["cell"])
    bias = np.array([0, 1, 0, 0], np.float32)
    weights = [np.ones((4, 4), np.float32), np.ones((1, 4)), bias, np.ones((1, 4)), np.ones((1, 4)), bias]
    one = {"class_name": "LSTMCell", "config": {"units": 1}}
    layer = from_keras("RNN", weights, cell={"class_name": "StackedRNNCells", "config": {"cells": [one, one]}})
    y, state = layer(numbers(case["x"]), mask=torch.tensor(case["mask"], dtype=torch.bool))
    np.testing.assert_allclose(keras_outputs(layer, y, state).detach(), case["last"], atol=case["atol"])


@published
def test_keras_time_distributed():
    case = PEERS["conv_and_td"]["time_distributed"]
    inner = {"class_name": "Dense", "config": {"units": 1, "use_bias": False, "activation": "linear"}}
    layer = from_keras("TimeDistributed", [np.full((4, 1), 0.01, np.float32)], layer=inner)
    np.testing.assert_allclose(layer(torch.tensor(arange(3, 2, 4))).detach(), case["expect"], rtol=1e-5)
