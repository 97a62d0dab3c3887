"""bf16 under autocast: products are rounded, everything else stays float32, forward and backward."""

from __future__ import annotations

import copy

import pytest
import torch

import recell.nn as rnn
from recell import cells
from tests.contract.descriptions import description_of, sizes_of

HALF = {"device_type": "cpu", "dtype": torch.bfloat16}


JUMPS = {"relu", "abs", "maximum", "minimum", "where"}  # their slope jumps: what is rounded across 0 changes it wholly


NOTHING = 1e-6  # a gradient that is 0 in exact arithmetic (an input gate's bias that the normaliser takes back) is rounding alone
# How far gradients may be off, relative: GRU-D's decays begin where their slope jumps, LMU's encoder sums over a long memory.
ROUGH = {"GRUD": 0.25, "LMU": 0.15}


def near(found: torch.Tensor, exact: torch.Tensor, what: str, gradients: float = 2e-2) -> None:
    """Within 1 % of the size of the whole; gradients, in which the errors of all steps meet, within 2 %."""
    assert found.dtype == exact.dtype, what
    scale = float(exact.norm())
    error = float((found - exact).norm())
    assert error <= (gradients if what.startswith("d") else 1e-2) * scale + NOTHING, f"{what} is {error / scale:.1e} off"


def run(module: torch.nn.Module, x: torch.Tensor, half: bool) -> dict[str, torch.Tensor]:
    module.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast(**HALF, enabled=half):
        y, state = module(x, lengths=torch.tensor([7, 3, 5, 7, 1]))
    weights = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
    (y * weights).sum().backward()
    gradients = {f"d {name}": p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    states = state if isinstance(state, dict) else {"h": state}
    last = {f"last {name}": s.detach() for name, s in states.items() if s.is_floating_point()}
    return {"y": y.detach(), "dx": x.grad, **gradients, **last}


@pytest.mark.parametrize("name", cells.names())
def test_every_cell_stays_near_float32(name: str) -> None:
    torch.manual_seed(0)
    cell, others = cells.get(name), description_of(name).sizes
    sizes = sizes_of(cell, 70, others, inputs=21)
    inputs = sizes["input"]
    module = rnn.Recurrent(cell, inputs, sizes["hidden"], bidirectional=not cell.brings_output, sizes=dict(others))
    x = torch.randn(7, 5, inputs)
    exact, half = run(module, x, False), run(module, x, True)
    assert not torch.equal(exact["y"], half["y"])
    gradients = ROUGH.get(name, 8e-2 if JUMPS & {node.op for node in cell.graph.nodes} else 2e-2)
    for what, value in exact.items():
        near(half[what], value, f"{what} of {name}", gradients)


def test_the_same_bits_again_and_under_no_grad() -> None:
    module, x = rnn.Recurrent("LSTM", 20, 33), torch.randn(6, 4, 20)
    with torch.autocast(**HALF):
        first, second = module(x)[0], module(x)[0]
        with torch.no_grad():
            third = module(x)[0]
    assert torch.equal(first, second) and torch.equal(first, third)


def test_two_chunks_with_the_state_handed_over_are_the_whole() -> None:
    module, x = rnn.Recurrent("GRU", 20, 33), torch.randn(6, 4, 20)
    with torch.autocast(**HALF), torch.no_grad():
        whole, _ = module(x)
        first, state = module(x[:2])
        second, _ = module(x[2:], state)
    assert torch.equal(torch.cat((first, second)), whole)


def test_float64_and_the_other_backends_are_left_alone() -> None:
    x = torch.randn(4, 3, 8)
    for options in ({"dtype": torch.float64}, {"backend": "eager"}, {"backend": "reference"}):
        module = rnn.Recurrent("LSTM", 8, 9, **options)
        given = x.to(options.get("dtype", torch.float32))
        with torch.no_grad():
            plain = module(given)[0]
            with torch.autocast(**HALF):
                assert torch.equal(module(given)[0], plain)


def test_inputs_in_bf16_and_compiled_graphs() -> None:
    module, x = rnn.LSTM(8, 16), torch.randn(5, 3, 8)
    with torch.autocast(**HALF), torch.no_grad():
        expected = module(x.bfloat16().float())[0]
        assert torch.equal(module(x.bfloat16())[0], expected)
        compiled = torch.compile(copy.deepcopy(module), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x.bfloat16().float())[0], expected)
