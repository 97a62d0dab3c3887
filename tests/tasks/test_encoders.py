"""The encoders: all of the value counts, for every shape, and in its order."""

from __future__ import annotations

import pytest
import torch

from recell import cells
from recell.errors import RecellError
from recell.tasks._encoders import encoder_for


def made(name: str, shape: tuple[int, ...], cell: str = "GRU") -> torch.nn.Module:
    torch.manual_seed(0)
    return encoder_for(name, shape, 6, cell=cells.get(cell), hidden_size=5, backend="auto").double()


@pytest.mark.parametrize(
    ("name", "shape"),
    [("auto", (7,)), ("linear", (5, 3)), ("auto", (9, 5)), ("convolutions", (1, 1)), ("convolutions", (4, 13)), ("rows", (6, 3))],
)
def test_every_value_counts_and_each_row_by_itself(name: str, shape: tuple[int, ...]) -> None:
    encoder = made(name, shape)
    values = torch.randn(40, *shape, dtype=torch.float64, requires_grad=True)
    codes = encoder(values)
    assert codes.shape == (40, 6)
    (slopes,) = torch.autograd.grad(codes.sum(), values)
    assert (slopes != 0).any(0).all()
    torch.testing.assert_close(encoder(values[3:4]), codes[3:4])


def test_rows_are_read_in_order() -> None:
    encoder, image = made("rows", (6, 3)), torch.randn(1, 6, 3, dtype=torch.float64)
    assert not torch.allclose(encoder(image), encoder(image.flip(1)))


def test_a_cell_with_an_output_layer_reads_rows_too() -> None:
    assert made("rows", (4, 3), "Jordan")(torch.randn(2, 4, 3, dtype=torch.float64)).shape == (2, 6)


@pytest.mark.parametrize("name", ["convolutions", "rows"])
def test_vectors_have_no_rows(name: str) -> None:
    with pytest.raises(RecellError, match=f"encoder '{name}' reads images; came vectors"):
        made(name, (4,))
