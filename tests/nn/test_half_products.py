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
# How far gradients may be off, relative, where there is a reason. GRU-D's decays of h begin where the slope of max(0, .) jumps,
# and a rounded product may fall on its other side. All of LMU's encoders learn through one number, whose slope is a sum of terms
# of alternating signs: of six networks, the two whose terms are 86 and 114 times the whole are 7.6 and 8.0 % off, the four where
# they are 4 to 34 times are 1.3 % off at most (bf16 rounds by 2^-9, 0.2 %). Two tests below take these reasons away.
ROUGH = {"GRUD": ("gamma_h", 0.25), "LMU": ("d e_", 0.15)}


def near(found: torch.Tensor, exact: torch.Tensor, what: str, gradients: float = 2e-2) -> None:
    """Within 1 % of the size of the whole; gradients, in which the errors of all steps meet, within 2 %."""
    assert found.dtype == exact.dtype, what
    scale = float(exact.norm())
    error = float((found - exact).norm())
    assert error <= (gradients if what.startswith("d") else 1e-2) * scale + NOTHING, f"{what} is {error / scale:.1e} off"


def run(module: torch.nn.Module, x: torch.Tensor, half: bool, lowest: float = -1) -> dict[str, torch.Tensor]:
    """Outputs, last states and gradients of a sum of the outputs with weights from `lowest` to 1."""
    module.zero_grad()
    x = x.clone().requires_grad_()
    with torch.autocast(**HALF, enabled=half):
        y, state = module(x, lengths=torch.tensor([7, 3, 5, 7, 1]))
    weights = torch.linspace(lowest, 1, y.numel()).reshape(y.shape)
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
    usual = 8e-2 if JUMPS & {node.op for node in cell.graph.nodes} else 2e-2
    part, rough = ROUGH.get(name, ("none", usual))
    for what, value in exact.items():
        near(half[what], value, f"{what} of {name}", rough if part in what else usual)


def layer_of(name: str, seed: int) -> tuple[rnn.Recurrent, torch.Tensor]:
    """Both directions of a cell with 70 units, as above, and an input."""
    torch.manual_seed(seed)
    cell, others = cells.get(name), description_of(name).sizes
    sizes = sizes_of(cell, 70, others, inputs=21)
    return rnn.Recurrent(cell, sizes["input"], 70, bidirectional=True, sizes=dict(others)), torch.randn(7, 5, sizes["input"])


@pytest.mark.parametrize("seed", range(3))
def test_grud_is_rough_for_the_jump_of_its_decays_alone(seed: int) -> None:
    """With decays that are well above the jump at 0, every gradient is as near as those of any cell."""
    module, x = layer_of("GRUD", seed)
    with torch.no_grad():
        for suffix in ("l0", "l0_reverse"):
            for name in ("b_gamma_x", "b_gamma_h"):
                getattr(module, f"{name}_{suffix}").add_(1.0)
    exact, half = run(module, x, False), run(module, x, True)
    for what, value in exact.items():
        near(half[what], value, what)


@pytest.mark.parametrize("seed", range(3))
def test_lmu_is_rough_for_signs_that_cancel_alone(seed: int) -> None:
    """Where everything is positive (and small, so that tanh is far from its ends), every gradient is within 0.5 %."""
    module, x = layer_of("LMU", seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.abs_().mul_(0.1 if name.startswith(("W_", "e_")) else 1)
    exact, half = run(module, x.abs(), False, lowest=0.5), run(module, x.abs(), True, lowest=0.5)
    for what, value in exact.items():
        near(half[what], value, what, gradients=5e-3)


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
