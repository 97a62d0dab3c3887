"""The door: kernels are found by the backend's name, made once, and refused by name."""

from __future__ import annotations

import pytest

from recell import CellError, cell, cells, tanh
from recell.compiler.build import Call, Variant, backends, build

SIZES = {"input": 3, "hidden": 5}


def test_backends_are_folders() -> None:
    assert backends() == ("cpu", "eager", "reference")


def test_an_unknown_backend_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(CellError, match="there is no backend of this name; came 'referense'; write reference"):
        build(cells.LSTM, SIZES, backend="referense")


def test_a_dtype_that_a_backend_does_not_run_is_refused() -> None:
    with pytest.raises(CellError, match="the cpu backend runs float32, float64, bfloat16; came float16; write dtype='float32'"):
        build(cells.LSTM, SIZES, backend="cpu", dtype="float16")


def test_equal_cells_share_one_kernel(backend: str) -> None:
    @cell
    def Renamed(p, x, state):
        state = tanh(p.A @ x + p.B @ state + p.c)
        return state

    assert Renamed == cells.Elman
    first = build(cells.Elman, SIZES, backend=backend, dtype="float64")
    assert build(Renamed, dict(reversed(SIZES.items())), backend=backend, dtype="float64") is first
    assert build(cells.Elman, SIZES, backend=backend, dtype="float64", variant=Variant(mask=True)) is not first
    assert build(cells.Elman, {"input": 3, "hidden": 6}, backend=backend, dtype="float64") is not first


def test_a_kernel_leaves_its_inputs_alone(backend: str) -> None:
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=s) for s in ((4, 2, 3), (2, 5), (2, 5))]
    arrays += [rng.normal(size=p.shape) for p in cells.LSTM.parameters(SIZES)]
    copies = [a.copy() for a in arrays]
    given = [torch.from_numpy(a) for a in arrays] if backend == "eager" else arrays
    build(cells.LSTM, SIZES, backend=backend, dtype="float64").forward(
        Call(given[0], tuple(given[1:3]), tuple(given[3:])), save=True
    )
    for array, copy in zip(arrays, copies, strict=True):
        assert np.array_equal(array, copy)


def test_what_a_backend_can_not_do_it_refuses_by_name() -> None:
    with pytest.raises(CellError, match="eager backend is differentiated by torch's autograd"):
        build(cells.Elman, SIZES, backend="eager").backward(None, None, ())
    with pytest.raises(CellError, match="cpu backend keeps no gate"):
        build(cells.Elman, SIZES, backend="cpu").trace(None)
