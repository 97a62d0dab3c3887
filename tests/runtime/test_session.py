from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from recell import runtime
from recell.errors import DataError, ModelError, RecellError, ShapeError
from recell.tasks import LanguageModel


def tokens(model: runtime.Model, steps: int, streams: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(model.vocabulary), (steps, streams))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_steps_give_what_torch_gives(trained: LanguageModel, folder: Path, backend: str) -> None:
    model = runtime.load(folder, backend=backend)
    numbers = tokens(model, 7, 3)
    with torch.no_grad():
        expected, state = trained.network_.eval()(torch.from_numpy(numbers))
    session = model.session(streams=3)
    stepped = np.stack([session.step(row).copy() for row in numbers])
    np.testing.assert_allclose(stepped, expected.numpy(), rtol=1e-4, atol=1e-5)
    for name, value in session.state.items():
        np.testing.assert_allclose(value, state[name].numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.session(3).run(numbers), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_two_runs_are_the_whole_and_embedded_inputs_are_inputs(folder: Path) -> None:
    model = runtime.load(folder)
    numbers = tokens(model, 8, 2)
    whole = model.session(2).run(numbers)
    session = model.session(2)
    halves = np.concatenate([session.run(numbers[:3]), session.run(numbers[3:])])
    np.testing.assert_allclose(halves, whole, rtol=1e-5, atol=1e-6)
    embedded = model._network.embedding[numbers]
    np.testing.assert_array_equal(model.session(2).run(embedded), whole)
    np.testing.assert_allclose(model.session(2).step(embedded[0]), whole[0], rtol=1e-5, atol=1e-6)


def test_the_result_is_the_sessions_buffer_or_the_callers(folder: Path) -> None:
    model = runtime.load(folder)
    session = model.session(2)
    one = session.step([4, 5])
    kept = one.copy()
    two = session.step([6, 4])
    assert one is two and not np.array_equal(kept, two)
    out = np.empty_like(kept)
    session.reset()
    assert session.step([4, 5], out=out) is out
    np.testing.assert_array_equal(out, kept)


def test_a_state_is_kept_put_back_and_reset_stream_by_stream(folder: Path) -> None:
    model = runtime.load(folder)
    session = model.session(3)
    session.run(tokens(model, 4, 3))
    state = session.state
    first = session.step([4, 5, 6]).copy()
    assert not all(np.array_equal(session.state[name], state[name]) for name in state)
    session.state = state
    np.testing.assert_array_equal(session.step([4, 5, 6]), first)
    session.state = state
    session.reset([1])
    fresh = model.session(3).step([4, 5, 6])
    got = session.step([4, 5, 6])
    np.testing.assert_allclose(got[1], fresh[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[[0, 2]], first[[0, 2]], rtol=1e-5, atol=1e-6)
    session.reset(np.array([True, True, True]))
    np.testing.assert_array_equal(session.step([4, 5, 6]), fresh)


def test_streams_do_not_mix(folder: Path) -> None:
    model = runtime.load(folder)
    numbers = tokens(model, 6, 5)
    together = model.session(5).run(numbers)
    for stream in range(5):
        alone = model.session().run(numbers[:, stream])
        np.testing.assert_allclose(alone[:, 0], together[:, stream], rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused(folder: Path) -> None:
    model = runtime.load(folder)
    session = model.session(2)
    for wrong, error in (
        ([1], ShapeError), ([1, 2, 3], ShapeError), ([[1, 2]], ShapeError), ([0, len(model.vocabulary)], DataError),
        ([-1, 0], DataError), (np.zeros((2, 5)), ShapeError), (["a", "b"], ShapeError), (1, ShapeError),
    ):  # fmt: skip
        with pytest.raises(error):
            session.step(wrong)
    with pytest.raises(ShapeError, match="out"):
        session.step([1, 2], out=np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="0 to 1"):
        session.reset([2])
    with pytest.raises(ShapeError, match="state"):
        session.state = {}
    with pytest.raises(ShapeError):
        session.state = {name: value[:, :1] for name, value in session.state.items()}
    with pytest.raises(ShapeError, match="at least 1"):
        model.session(0)


def test_a_second_thread_is_refused(folder: Path) -> None:
    session = runtime.load(folder).session()
    assert session._hold() == 0  # as if a thread were inside
    for act in (lambda: session.step([4]), lambda: session.step(np.array([4])), lambda: session.run([[4]])):
        with pytest.raises(RecellError, match="another thread"):
            act()
    session._release()
    assert session.step([4]).shape == session.step([4]).shape


def test_a_refused_step_moves_nothing(folder: Path) -> None:
    model = runtime.load(folder)
    session, twin = model.session(2), model.session(2)
    session.step([4, 5])
    twin.step([4, 5])
    for wrong in ([4, len(model.vocabulary)], [4], np.zeros((2, 1))):
        with pytest.raises((ShapeError, DataError)):
            session.step(wrong)
    np.testing.assert_array_equal(session.step([6, 4]), twin.step([6, 4]))


def test_sessions_of_two_threads_do_not_mix(folder: Path) -> None:
    model = runtime.load(folder)
    numbers = tokens(model, 200, 2)
    expected = [model.session().run(numbers[:, [n]])[-1, 0] for n in range(2)]

    def last(stream: int) -> np.ndarray:
        session = model.session()
        for row in numbers:
            scores = session.step([int(row[stream])])
        return scores[0].copy()

    with ThreadPoolExecutor(2) as pool:
        for found, wanted in zip(pool.map(last, range(2)), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_double_precision(folder: Path) -> None:
    single, double = runtime.load(folder), runtime.load(folder, dtype="float64")
    scores = double.session().step([5])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, single.session().step([5]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("streams", ["2", 2.0, True, None])
def test_streams_are_a_whole_number(folder: Path, streams: object) -> None:
    with pytest.raises(ShapeError, match="stream"):
        runtime.load(folder).session(streams)  # type: ignore[arg-type]


def test_what_reset_cannot_take_is_one_line(folder: Path) -> None:
    session = runtime.load(folder).session(2)
    for wrong in ("x", [0.5], [True]):
        with pytest.raises(ShapeError, match="reset|streams"):
            session.reset(wrong)  # type: ignore[arg-type]


def test_products_in_bf16_stay_near(folder: Path) -> None:
    model, half = runtime.load(folder), runtime.load(folder, dtype="bfloat16")
    numbers = tokens(model, 6, 3)
    exact, session = model.session(3).run(numbers), half.session(3)
    for row, expected in zip(numbers, exact, strict=True):
        scores = session.step(row)
        assert scores.dtype == np.float32
        assert np.abs(scores - expected).max() <= 1e-2 * np.abs(exact).max()
    assert not np.array_equal(session.step([4, 5, 6]), model.session(3).step([4, 5, 6]))
    with pytest.raises(ModelError, match="float16"):
        runtime.load(folder, dtype="float16")


def test_a_state_that_is_no_dict_is_one_line(folder: Path) -> None:
    session = runtime.load(folder).session()
    with pytest.raises(ShapeError, match="the state is a dict with .*; came int"):
        session.state = 3  # type: ignore[assignment]
