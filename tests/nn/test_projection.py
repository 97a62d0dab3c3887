"""Tokens: a gather of input products equals the products themselves, forward and in every gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import recell.nn as rnn
from recell.errors import CellError, DataError, ShapeError
from recell.language.projected import project_input
from recell.nn import projection
from tests.contract.descriptions import NAMES, cell_named, description_of

D = torch.float64
SYMBOLS, WIDTH, STEPS, ROWS = 5, 7, 6, 4
READ_BY_PRODUCTS = [name for name in NAMES if project_input(cell_named(name)) is not None]


def agree(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


def outcome(module: torch.nn.Module, embedding: torch.Tensor | None, run) -> dict[str, torch.Tensor]:
    """Outputs, last states and all gradients of a fixed weighting."""
    module.zero_grad()
    if embedding is not None:
        embedding.grad = None
    torch.manual_seed(5)
    y, state = run()
    total = sum((v * torch.linspace(-1, 2, v.numel(), dtype=D).reshape(v.shape)).sum() for v in (y, *state.values())
                if v.is_floating_point())  # fmt: skip
    if total.requires_grad:  # not where every parameter is frozen, as a reservoir's are
        total.backward()
    found = {"y": y.detach(), **{f"last {k}": v.detach() for k, v in state.items()}}
    found |= {f"d {name}": p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    return found | ({} if embedding is None else {"d embedding": embedding.grad.clone()})


def made(name: str, width: int, **options: object) -> rnn.Recurrent:
    torch.manual_seed(1)
    cell = cell_named(name)
    sizes = dict(description_of(name).sizes)
    return rnn.Recurrent(cell, width, description_of(name).hidden, sizes=sizes, dtype=D, **options)  # type: ignore[arg-type]


def test_most_of_the_zoo_reads_its_input_by_products() -> None:
    assert {"LSTM", "GRU", "Elman", "PeepholeLSTM", "ProjectedLSTM", "GRUResetBefore", "SCRN", "Jordan"} <= set(READ_BY_PRODUCTS)
    assert not {"SRU", "QRNN"} & set(READ_BY_PRODUCTS)  # they read x itself


@pytest.mark.parametrize("backend", ["cpu", "reference", "eager"])
@pytest.mark.parametrize("name", READ_BY_PRODUCTS)
def test_tokens_are_one_hot_inputs(name: str, backend: str) -> None:
    module = made(name, SYMBOLS, backend=backend)
    tokens = torch.randint(0, SYMBOLS, (STEPS, ROWS))
    hot = functional.one_hot(tokens, SYMBOLS).to(D)
    agree(outcome(module, None, lambda: module(tokens)), outcome(module, None, lambda: module(hot)))


@pytest.mark.parametrize("options", [
    {}, {"num_layers": 3}, {"bidirectional": True}, {"bidirectional": True, "num_layers": 2, "merge": "sum"},
    {"reverse": True}, {"batch_first": True}, {"learn_initial_state": True, "num_layers": 2},
])  # fmt: skip
@pytest.mark.parametrize("name", ["LSTM", "GRU", "SCRN"])
def test_a_table_is_the_lookup(name: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "WORTH_WIDTH", 1)
    monkeypatch.setattr(projection, "WORTH_SHARE", 1)
    module = made(name, WIDTH, **options)
    embedding = torch.randn(SYMBOLS, WIDTH, dtype=D, requires_grad=True)
    shape = (ROWS, STEPS) if module.batch_first else (STEPS, ROWS)
    tokens, streams = torch.randint(0, SYMBOLS, shape), {"reset": torch.rand(shape) < 0.3, "lengths": torch.tensor([6, 2, 4, 6])}
    if module.learn_initial_state:
        del streams["reset"]
    table = outcome(module, embedding, lambda: module.embedded(tokens, embedding, **streams))
    looked_up = outcome(module, embedding, lambda: module(functional.embedding(tokens, embedding), **streams))
    agree(table, looked_up)


def test_small_and_large_vocabularies_give_the_same() -> None:
    assert projection.is_worth_a_table(100, 3200, 128)
    assert not projection.is_worth_a_table(33_000, 3200, 128) and not projection.is_worth_a_table(100, 3200, 16)
    module = made("LSTM", 80)
    embedding = torch.randn(40, 80, dtype=D, requires_grad=True)
    few, many = torch.randint(0, 40, (2, 3)), torch.randint(0, 40, (20, 6))
    for tokens in (few, many):
        agree(outcome(module, embedding, lambda tokens=tokens: module.embedded(tokens, embedding)),
              outcome(module, embedding, lambda tokens=tokens: module(functional.embedding(tokens, embedding))))  # fmt: skip


def test_a_compiled_graph_reads_tokens() -> None:
    module = rnn.Recurrent("GRU", SYMBOLS, 6)
    tokens = torch.randint(0, SYMBOLS, (STEPS, ROWS))
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(tokens)[0], module(tokens)[0])


def test_what_does_not_fit_is_one_line() -> None:
    module = rnn.Recurrent("LSTM", SYMBOLS, 6)
    for wrong, error, told in (
        (torch.full((2, 3), SYMBOLS), DataError, "0 to 4"), (torch.full((2, 3), -1), DataError, "-1"),
        (torch.zeros(2, 3, 4, dtype=torch.long), ShapeError, "shape"), (torch.zeros(2, 3, dtype=torch.bool), ShapeError, "bool"),
    ):  # fmt: skip
        with pytest.raises(error, match=told):
            module(wrong)
    with pytest.raises(ShapeError, match="embedding"):
        module.embedded(torch.zeros(2, 3, dtype=torch.long), torch.zeros(9, 2))
    with pytest.raises(CellError, match="one_hot"):
        rnn.Recurrent(cell_named("SRU"), 19, 19)(torch.zeros(2, 3, dtype=torch.long))
