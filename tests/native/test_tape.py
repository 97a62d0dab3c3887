"""Steps repeated from a recording: long sequences agree with the reference, for every cell and every way of running."""

from __future__ import annotations

import numpy as np
import pytest

from recell import cells
from recell.compiler.build import Call, Variant, build
from recell.modifiers import layer_norm

STEPS = 47
ACTIVE = [5] * 16 + [4] + [3] * 19 + [1] * 11  # long runs of equal steps, short ones, and one more row's end
CELLS = {name: cells.get(name) for name in ("Elman", "LSTM", "PeepholeLSTM", "GRU", "GRUResetBefore", "SCRN", "Jordan")}
CELLS |= {name: cells.get(name) for name in ("MinLSTM", "LRU", "QRNN")}  # in blocks of steps, with the products beside them
CELLS["normalised LSTM"] = cells.LSTM.with_(layer_norm())


def calls(definition, hidden, rows, **options):
    """A call with random distinct values, its sizes and the gradients from above."""
    draw = np.random.default_rng(3).standard_normal
    others = {"output": 9} if definition.name == "Jordan" else {}
    sizes = definition.resolve(11, hidden, others)
    parameters = tuple(0.4 * draw(p.shape) for p in definition.parameters(sizes))
    states = tuple(draw((rows, size)) for size in definition.state_sizes(sizes))
    call = Call(draw((STEPS, rows, 11)), states, parameters, **options)
    return sizes, call, draw((STEPS, rows, definition.output_size(sizes))), tuple(draw(s.shape) for s in states)


def passes(backend, definition, sizes, call, dy, dstates):
    kernel = build(definition, sizes, backend=backend, dtype="float64", variant=Variant(reset=call.reset is not None))
    free = kernel.forward(call, save=False)
    kept = kernel.forward(call, save=True)
    gradients = kernel.backward(kept.saved, dy, dstates)
    return [free.y, *free.states, kept.y, *kept.states, gradients.x, *gradients.states, *gradients.parameters]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("hidden", [16, 19])
@pytest.mark.parametrize(
    "options",
    [{}, {"reverse": True}, {"active": ACTIVE}, {"active": ACTIVE, "reverse": True}],
    ids=["all rows", "reverse", "ragged", "ragged, reverse"],
)
def test_a_long_sequence_agrees_with_the_reference(name, hidden, options):
    sizes, *rest = calls(CELLS[name], hidden, 5, **options)
    agree(CELLS[name], sizes, rest)


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_rows_of_any_number_on_any_threads(monkeypatch, rows, threads):
    monkeypatch.setenv("RECELL_NUM_THREADS", threads)
    sizes, *rest = calls(cells.GRU, 40, rows)
    agree(cells.GRU, sizes, rest)


def test_resets_on_some_steps():
    reset = (np.random.default_rng(5).random((STEPS, 5)) < 0.1).astype(float)
    sizes, *rest = calls(cells.LSTM, 19, 5, reset=reset)
    agree(cells.LSTM, sizes, rest)


def agree(definition, sizes, rest):
    found, expected = (passes(backend, definition, sizes, *rest) for backend in ("cpu", "reference"))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)
