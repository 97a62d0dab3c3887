"""What `Recurrent` refuses, each in one clear line."""

from __future__ import annotations

import pytest
import torch

import recell.nn as rnn
from recell import cell, tanh
from recell.errors import CellError, DataError, RecellError, ShapeError

X = torch.randn(4, 3, 5)


BAD_CALLS = {
    "features": (lambda m: m(torch.randn(4, 3, 6)), "6 features .* input_size=5"),
    "dimensions": (lambda m: m(torch.randn(4, 3, 5, 1)), "4 dimensions"),
    "no tensor": (lambda m: m([[1.0]]), "list"),
    "dtype": (lambda m: m(X.double()), r"x is float64 .* x.to\(torch.float32\)"),
    "whole numbers": (lambda m: m(X.long()), r"x is int64 .* for numbers write x.float\(\)"),
    "small whole numbers": (lambda m: m(X.byte()), r"came uint8; write x.long\(\) for tokens, x.float\(\) for numbers"),
    "whole state": (lambda m: m(X, {"h": torch.zeros(2, 3, 7).int()}), r"state h is int32 .* write state h.float\(\)$"),
    "device": (lambda m: m(X.to("meta")), "x is on meta"),
    "no steps": (lambda m: m(X[:0]), "no time step"),
    "lengths too long": (lambda m: m(X, lengths=[1, 5, 2]), r"lengths\[1\] is 5, and x has 4 time steps"),
    "lengths negative": (lambda m: m(X, lengths=[1, 2, -1]), r"lengths\[2\] is -1"),
    "lengths too few": (lambda m: m(X, lengths=[1, 2]), r"shape \(2,\); give one per row: \(3,\)"),
    "lengths not whole": (lambda m: m(X, lengths=[1.0, 2.0, 3.0]), "lengths are float32"),
    "lengths of text": (lambda m: m(X, lengths=["a"]), "cannot be read"),
    "lengths of one row": (lambda m: m(X[:, 0], lengths=[2]), "one sequence"),
    "mask shape": (lambda m: m(X, mask=torch.ones(3, 4).bool()), r"mask has the shape \(3, 4\)"),
    "mask dtype": (lambda m: m(X, mask=torch.ones(4, 3)), r"mask.bool\(\)"),
    "reset type": (lambda m: m(X, reset=[True]), "reset is a list"),
    "elapsed unread": (lambda m: m(X, elapsed=torch.ones(4, 3)), "LSTM reads no elapsed time"),
    "state shape": (lambda m: m(X, {"h": torch.zeros(1, 3, 7)}), r"state h has the shape \(1, 3, 7\).*\(2, 3, 7\)"),
    "state name": (lambda m: m(X, {"q": torch.zeros(2, 3, 7)}), "no state 'q'"),
    "state form": (lambda m: m(X, torch.zeros(2, 3, 7)), "give a dict with h, c"),
    "state dtype": (lambda m: m(X, {"h": torch.zeros(2, 3, 7).double()}), "state h is float64"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_input_gets_one_clear_line(case):
    call, expected = BAD_CALLS[case]
    with pytest.raises(ShapeError, match=expected) as caught:
        call(rnn.Recurrent("LSTM", 5, 7, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [rnn.LSTM, rnn.GRU, rnn.LSTMCell])
def test_whole_numbers_are_to_be_made_floats_and_no_module_is_to_be_made_of_them(make):
    x = X[0].long() if make is rnn.LSTMCell else X.long()
    with pytest.raises(ShapeError, match=r"x is int64 and the parameters are float32; write x.float\(\)$"):
        make(5, 7)(x)
    with pytest.raises(ShapeError, match=r"write x.double\(\)$"):
        make(5, 7, dtype=torch.float64)(x)


@pytest.mark.parametrize(
    "error, options",
    [
        (ShapeError, {"num_layers": 0}),
        (ShapeError, {"num_layers": 1.5}),
        (DataError, {"dropout": "much"}),
        (ShapeError, {"hidden_size": 0}),
        (ShapeError, {"sizes": {"context": 3}}),
        (DataError, {"dropout": 1.5}),
        (DataError, {"merge": "max"}),
        (DataError, {"bidirectional": True, "reverse": True}),
        (CellError, {"cell": "LSTN"}),
        (CellError, {"cell": tanh}),
        (DataError, {"backend": "gpu"}),
        (CellError, {"cell": "Jordan", "num_layers": 2, "sizes": {"output": 3}}),
        (DataError, {"residual": True, "merge": None, "bidirectional": True, "num_layers": 2}),
    ],
)
def test_bad_options_get_one_clear_line(error, options):
    with pytest.raises(error) as caught:
        rnn.Recurrent(**{"cell": "LSTM", "input_size": 5, "hidden_size": 7, **options})
    assert "\n" not in str(caught.value)


def test_time_is_refused_where_a_dtype_cannot_count():
    @cell
    def Counting(p, x, h, t):
        return tanh(p.W @ x + h) + 0.001 * t

    with pytest.raises(CellError, match="Counting counts its steps, which bfloat16 cannot"):
        rnn.Recurrent(Counting, 3, 4, dtype=torch.bfloat16)(torch.randn(5, 2, 3, dtype=torch.bfloat16))


HURRIED = {
    "a list of sizes": (lambda: rnn.Recurrent("SCRN", 5, 7, sizes=[3]), r"sizes holds numbers by the sizes' names; came \[3\]"),
    "a name of a dtype": (lambda: rnn.Recurrent("GRU", 5, 7, dtype="float64"), "a torch dtype of floating point; came 'float64'"),
    "whole numbers": (lambda: rnn.Step("GRU", 5, 7, dtype=torch.int32), "a torch dtype of floating point; came torch.int32"),
    "a layer's name": (lambda: rnn.Recurrent("GRU", 5, 7).parameter("U_r", layer="0"), "there is no layer '0'"),
}


@pytest.mark.parametrize("case", HURRIED)
def test_arguments_of_the_wrong_kind_get_one_line(case):
    make, words = HURRIED[case]
    with pytest.raises(RecellError, match=words):
        make()
