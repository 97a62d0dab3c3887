"""Each initialiser has the property that it is named for."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from recell.errors import DataError, RecellError, ShapeError
from recell.nn import Recurrent, init

D = torch.float64


def test_uniform_fan_in():
    w = init.uniform_fan_in_(torch.empty(200, 25, dtype=D))
    assert 0.19 < w.max() <= 0.2 and -0.2 <= w.min() < -0.19
    assert init.uniform_fan_in_(torch.empty(500), 100).abs().max() <= 0.1


@pytest.mark.parametrize("name, bound", [("uniform_fan_in_", 1 / 30), ("glorot_", (6 / 300) ** 0.5)])
def test_uniform_ones_have_the_variance_of_their_bound(name, bound):
    """Rows 200, columns 900 or 100: the variance is a third of the bound's square, the mean 0."""
    columns = 900 if name == "uniform_fan_in_" else 100
    w = getattr(init, name)(torch.empty(200, columns, dtype=D))
    assert abs(float(w.var()) / (bound**2 / 3) - 1) < 0.02 and abs(float(w.mean())) < 0.01 * bound
    assert w.abs().max() <= bound and abs(float((w.abs() < bound / 2).double().mean()) - 0.5) < 0.01


def test_uniform_fan_in_keeps_the_scale_of_what_it_multiplies():
    """Products of unit inputs have the variance 1/3 whatever the width of the layer before."""
    for width in (50, 2000):
        products = torch.randn(500, width, dtype=D) @ init.uniform_fan_in_(torch.empty(400, width, dtype=D)).T
        assert abs(float(products.var()) * 3 - 1) < 0.05


def test_orthogonal_keeps_lengths_and_is_any_rotation():
    w = init.orthogonal_(torch.empty(50, 50, dtype=D))
    x = torch.randn(9, 50, dtype=D)
    torch.testing.assert_close((x @ w.T).norm(dim=1), x.norm(dim=1))
    drawn = torch.stack([init.orthogonal_(torch.empty(3, 3, dtype=D)) for _ in range(4000)])
    assert drawn.mean(0).abs().max() < 0.05  # uniform over rotations and reflections: no direction is preferred
    assert abs(float(torch.linalg.det(drawn).mean())) < 0.1


def test_chrono_forgets_within_a_uniform_number_of_steps():
    """A gate sigmoid(b) keeps for 1 / (1 - sigmoid(b)) = 1 + e^b steps, and e^b is uniform in [1, longest - 1]."""
    forget, opposite = torch.empty(20000, dtype=D), torch.empty(20000, dtype=D)
    assert init.chrono_(forget, 101, opposite) is forget
    steps = forget.exp()
    assert steps.min() >= 1 - 1e-12 and steps.max() <= 100 + 1e-9
    assert abs(float(steps.mean()) - 50.5) < 1 and abs(float(steps.var()) / (99**2 / 12) - 1) < 0.03
    torch.testing.assert_close(1 / (1 - torch.sigmoid(forget)), 1 + steps)
    assert torch.equal(opposite, -forget)
    with pytest.raises(DataError, match="above 2"):
        init.chrono_(forget, 2)


def test_glorot():
    w = init.glorot_(torch.empty(100, 50, dtype=D), gain=2.0)
    assert 0.39 < w.abs().max() <= 2 * (6 / 150) ** 0.5
    assert abs(w.var() / (4 * 2 / 150) - 1) < 0.1


@pytest.mark.parametrize("shape", [(7, 7), (9, 4), (4, 9)])
def test_orthogonal(shape):
    w = init.orthogonal_(torch.empty(shape, dtype=D), gain=3.0)
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    torch.testing.assert_close(gram, 9 * torch.eye(min(shape), dtype=D))


def test_identity():
    assert torch.equal(init.identity_(torch.randn(5, 5), gain=0.5), 0.5 * torch.eye(5))


def test_spectral_radius():
    w = init.spectral_radius_(torch.empty(30, 30), radius=0.7)
    assert abs(torch.linalg.eigvals(w.double()).abs().max() - 0.7) < 1e-5
    assert w.requires_grad is False


def test_fill_takes_numbers_names_and_functions():
    parameter = torch.nn.Parameter(torch.empty(4, 4))
    assert (init.fill_(parameter, 0.5) == 0.5).all() and parameter.requires_grad
    assert torch.equal(init.fill_(parameter, "identity"), torch.eye(4))
    assert torch.equal(init.fill_(parameter, lambda shape: torch.arange(16.0).reshape(shape)).flatten(), torch.arange(16.0))
    assert torch.equal(init.fill_(parameter, init.identity_), torch.eye(4))


def test_functions_that_draw_follow_manual_seed():
    def between(shape, generator):
        return generator.uniform(2, 3, shape)

    def filled():
        return init.fill_(torch.empty(5, dtype=D), between).clone()

    torch.manual_seed(3)
    first, second = filled(), filled()
    torch.manual_seed(3)
    assert torch.equal(first, filled()) and not torch.equal(first, second)
    assert ((first >= 2) & (first <= 3)).all() and len(first.unique()) == 5


def test_functions_that_do_not_draw_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(())
    torch.manual_seed(3)
    init.fill_(torch.empty(2), lambda shape: torch.ones(shape))
    assert torch.equal(torch.rand(()), expected)


def test_a_function_may_follow_from_another_parameter():
    first = torch.rand(4, dtype=D)
    found = init.fill_(torch.empty(4, dtype=D), lambda shape, first, scale=2: scale * first, {"first": first, "scale": first})
    assert torch.equal(found, 2 * first)  # what has a value already is not asked for
    own = partial(lambda shape, generator: generator.uniform(size=shape), generator=np.random.default_rng(0))
    assert init.fill_(torch.empty(3, dtype=D), own).tolist() == np.random.default_rng(0).uniform(size=3).tolist()


def test_what_a_function_is_given_is_a_copy_in_any_dtype():
    def spoilt(shape, first):
        first[:] = 7
        return first

    first = torch.zeros(4, dtype=torch.bfloat16)
    assert (init.fill_(torch.empty(4), spoilt, {"first": first}) == 7).all() and (first == 0).all()
    assert Recurrent("LRU", 4, 4, dtype=torch.bfloat16).gamma_log_l0.isfinite().all()


@pytest.mark.parametrize(
    "call, error, expected",
    [
        (lambda: init.fill_(torch.empty(4), lambda shape, b: b, {"a": D}), DataError, "asks for 'b'; .* generator, a"),
        (lambda: init.fill_(torch.empty(4, 4), torch.nn.init.xavier_uniform_), DataError, "came torch.nn.init.xavier_uniform_"),
        (lambda: init.fill_(torch.empty(4), "orthogonl"), DataError, "no initialiser 'orthogonl'"),
        (lambda: init.fill_(torch.empty(4), "orthogonal"), ShapeError, "fills a matrix"),
        (lambda: init.fill_(torch.empty(4), lambda shape: torch.zeros(5)), ShapeError, r"\(5,\) for a parameter \(4,\)"),
        (lambda: init.fill_(torch.empty(4), None), DataError, "a number, a name or a function"),
        (lambda: init.spectral_radius_(torch.empty(3, 4)), ShapeError, "square"),
    ],
)
def test_bad_initialisers_get_one_clear_line(call, error, expected):
    with pytest.raises(error, match=expected) as caught:
        call()
    assert isinstance(caught.value, RecellError)


def test_the_names_that_a_cell_may_give_are_those_that_fill():
    from recell.language import trace

    assert set(init.NAMED) == trace.INITIALISERS
    for name in init.NAMED:
        if name in trace.MATRIX_INITIALISERS:
            with pytest.raises(RecellError, match="fills a"):
                init.fill_(torch.empty(3), name)
        else:
            assert all(init.fill_(torch.zeros(shape), name).abs().sum() > 0 for shape in ((), (3,), (3, 2)))


def test_a_start_that_cannot_be_is_refused_in_one_line():
    module = Recurrent("LSTM", 3, 5)
    for given, said in (
        (float("nan"), "cannot start as nan"),
        ("zeros", "numbers, and functions"),
        (lambda shape: "text", "gave a str; return an array"),
        (lambda shape: np.full(shape, np.nan), "finite numbers, and the initialiser gave others"),
        (lambda shape: torch.eye(5).index_fill(0, torch.tensor([2]), float("inf")), "finite numbers"),
    ):
        with pytest.raises(DataError, match=said):
            module.initialize(U=given)
    with pytest.raises(DataError, match=r"came a ndarray; write torch\.from_numpy"):
        init.glorot_(torch.empty(2, 3).numpy())
    for radius in (-1.0, float("inf"), "1"):
        with pytest.raises(DataError, match="radius is a number"):
            init.spectral_radius_(torch.empty(3, 3), radius)
