"""The arrays and kernels of a saved network: what its description may say."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from recell import cell, mean, tanh
from recell.errors import ModelError
from recell.runtime.network import check_tensors, make_network

VOCABULARY, INPUT, HIDDEN = 5, 3, 4


@cell(sizes={"c": "context"}, defaults={"context": 6})
def Free(p, x, h, c):
    """No tensor is as wide as the state c."""
    c = 0.5 * c + 0.1
    h = tanh(p.W @ x + p.U @ h + mean(c))
    return h, c


def parts(**changes: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    shapes = {"embedding.weight": (VOCABULARY, INPUT), "output.weight": (VOCABULARY, HIDDEN), "output.bias": (VOCABULARY,)}
    shapes |= {f"recurrent.{p.name}_l0": p.shape for p in Free.parameters(Free.resolve(INPUT, HIDDEN))}
    description = {"input_size": INPUT, "hidden_size": HIDDEN, "num_layers": 1, "sizes": {}}
    return {**description, **changes}, {name: random.normal(size=shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", ["input_size", "hidden_size", "num_layers", "context"])
@pytest.mark.parametrize("number", [2**25, 10**12, 10**40])
def test_a_huge_size_is_refused_before_anything_is_allocated(name: str, number: int) -> None:
    description, tensors = parts(**({"sizes": {name: number}} if name == "context" else {name: number}))
    tracemalloc.start()
    for act in (
        lambda: check_tensors(Free, description, tensors, VOCABULARY),
        lambda: make_network(Free, description, tensors, backend="cpu", dtype="float32"),
    ):
        with pytest.raises(ModelError, match=str(number)) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_its_own_sizes_make_a_network() -> None:
    description, tensors = parts(sizes={"context": 9})
    network = make_network(Free, description, tensors, backend="cpu", dtype="float32")
    assert network.layers[0].state_sizes == (HIDDEN, 9)


def test_two_connections_around_a_layer_are_refused() -> None:
    description, tensors = parts()
    check_tensors(Free, description, tensors, VOCABULARY)
    with pytest.raises(ModelError, match="one connection around it; came residual and highway"):
        check_tensors(Free, {**description, "residual": True, "highway": True}, tensors, VOCABULARY)


def test_layers_that_cannot_carry_their_input_are_refused() -> None:
    description, tensors = parts(hidden_size=[HIDDEN, 6], num_layers=2, residual=True)
    with pytest.raises(ModelError, match="the input 4 and the output 6"):
        check_tensors(Free, description, tensors, VOCABULARY)
