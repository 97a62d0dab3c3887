"""What torch sees of a kernel while it compiles and exports: one graph for every T and N, with all gradients."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from torch import nn

import recell.nn as rnn
from recell import cell, dropout, tanh
from recell.errors import ShapeError

D = torch.float64
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # torch's own


@cell
def Coins(p, x, h):
    h = tanh(p.W @ x + p.U @ dropout(h, 0.5) + p.b)
    return h


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def compiled(module, backend="aot_eager"):
    return torch.compile(module, fullgraph=True, dynamic=True, backend=backend)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_one_graph_serves_every_batch(name, backend, agree, gradients):
    module = rnn.Recurrent(name, 5, 7, 2, bidirectional=True, dtype=D)
    fast = compiled(module, backend)
    for steps, rows in ((6, 3), (3, 2), (9, 8)):
        x = torch.randn(steps, rows, 5, dtype=D, requires_grad=True)
        state = {s.name: torch.randn(4, rows, 7, dtype=D, requires_grad=True) for s in module.cell.states}
        inputs = [x, *state.values(), *module.parameters()]
        found, expected = fast(x, state), module(x, state)
        agree(found, expected)
        agree(gradients(found, inputs), gradients(expected, inputs))
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert graphs == 1, f"{graphs} graphs"


def test_lengths_masks_and_resets_are_part_of_the_graph(agree, gradients):
    module = rnn.LSTM(5, 7, 2, bidirectional=True, dtype=D)
    fast = compiled(module)
    for steps, rows in ((6, 4), (5, 3)):
        x = torch.randn(steps, rows, 5, dtype=D, requires_grad=True)
        options = {
            "lengths": torch.randint(0, steps + 1, (rows,)),
            "mask": torch.rand(steps, rows) < 0.8,
            "reset": torch.rand(steps, rows) < 0.2,
        }
        found, expected = fast(x, **options), module(x, **options)
        agree(found, expected)
        inputs = [x, *module.parameters()]
        agree(gradients(found, inputs), gradients(expected, inputs))
    with pytest.raises(ShapeError, match=r"lengths\[0\] is 9"):
        fast(x, **{**options, "lengths": torch.tensor([1, 9, 2])})


def test_the_eager_backend_compiles_too(agree, gradients):
    module = rnn.Recurrent("GRU", 5, 7, 2, dtype=D, backend="eager")
    x = torch.randn(4, 3, 5, dtype=D, requires_grad=True)
    found, expected, inputs = compiled(module)(x), module(x), [x, *module.parameters()]
    agree(found, expected)
    agree(gradients(found, inputs), gradients(expected, inputs))


def test_frozen_parameters_and_steps(agree, gradients):
    step = rnn.Step("GRU", 5, 7, dtype=D)
    step.U_r.requires_grad_(False)
    x, state = torch.randn(3, 5, dtype=D), {"h": torch.randn(3, 7, dtype=D, requires_grad=True)}
    inputs = [state["h"], *[p for p in step.parameters() if p.requires_grad]]
    found, expected = compiled(step)(x, state), step(x, state)
    agree(found, expected)
    agree(gradients(found, inputs), gradients(expected, inputs))


def test_coins_are_drawn_anew_at_every_call_of_a_graph():
    module = rnn.Recurrent(Coins, 5, 7, dtype=D)
    fast, x = compiled(module), torch.randn(4, 3, 5, dtype=D)
    torch.manual_seed(5)
    first, second = fast(x)[0], fast(x)[0]
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert torch.equal(module(x)[0], first)
    first.sum().backward()


class Head(nn.Module):
    """An RNN inside a model, as it is exported."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = rnn.LSTM(5, 7, bidirectional=True, dtype=D), nn.Linear(14, 2, dtype=D)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


@pytest.mark.parametrize("strict", [False, True])
def test_export_keeps_sizes_open_and_gradients_of_both_orders(strict, agree, gradients):
    module, dims = Head(), {0: torch.export.Dim("steps", min=2), 1: torch.export.Dim("rows", min=2)}
    program = torch.export.export(module, (torch.randn(6, 4, 5, dtype=D),), dynamic_shapes={"x": dims}, strict=strict)
    loaded = through_a_file(program).module()
    x = torch.randn(11, 3, 5, dtype=D, requires_grad=True)
    agree(loaded(x), module(x))
    agree(gradients(loaded(x), [x]), gradients(module(x), [x]))
    second = []
    for run in (loaded, module):
        (slope,) = torch.autograd.grad(run(x).square().sum(), x, create_graph=True)
        second += torch.autograd.grad(slope.square().sum(), x)
    agree(second[0], second[1])


def through_a_file(program):
    memory = io.BytesIO()
    torch.export.save(program, memory)
    memory.seek(0)
    return torch.export.load(memory)


@pytest.mark.slow
def test_an_exported_program_runs_in_a_process_that_never_saw_the_cell(tmp_path):
    @cell
    def Own(p, x, h):
        h = tanh(p.A @ x + p.B @ h) * 0.5
        return h

    module = rnn.Recurrent(Own, 5, 7, dtype=D)
    x = torch.randn(4, 3, 5, dtype=D)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "own.pt2")
    torch.save({"x": x, "y": module(x)[0].detach()}, tmp_path / "own.pt")
    script = f"""
import torch, recell.nn
data = torch.load({str(tmp_path / "own.pt")!r})
y, state = torch.export.load({str(tmp_path / "own.pt2")!r}).module()(data["x"])
torch.testing.assert_close(y, data["y"])
"""
    subprocess.run([sys.executable, "-c", script], check=True)
