"""Laws of `Recurrent`: directions, layers, coins, states, parameters and their names, for any cell."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch

import recell
import recell.nn as rnn
from recell import cell, tanh
from recell.errors import RecellError
from tests.nn.helper import Coins, D, Delayed, Odd, make, random_state


def test_numbers_may_be_numpys(agree):
    made = rnn.Recurrent("LSTM", np.int64(5), np.int32(7), np.int64(2), dtype=D, recompute=np.int64(4))
    same = rnn.Recurrent("LSTM", 5, 7, 2, dtype=D, recompute=4)
    same.load_state_dict(made.state_dict())
    x = torch.randn(6, 3, 5, dtype=D)
    agree(made(x), same(x))
    assert made.parameter("U_f", layer=np.int64(1)) is made.U_f_l1 and repr(made) == repr(same)
    listed = rnn.Recurrent("GRU", 5, [np.int64(7), np.int64(4)])
    assert repr(listed) == repr(rnn.Recurrent("GRU", 5, [7, 4]))


def test_a_reversed_direction_is_a_reversed_sequence(agree):
    forward, backward = make("GRU"), make("GRU", reverse=True)
    backward.load_state_dict(forward.state_dict())
    x = torch.randn(6, 3, 5, dtype=D)
    y, state = forward(x.flip(0))
    agree(backward(x), (y.flip(0), state))


def test_directions_are_merged_as_asked(agree):
    x = torch.randn(4, 3, 5, dtype=D)
    pair = make("GRU", bidirectional=True, merge=None)
    (a, b), _ = pair(x)
    for merge, expected in {"concat": torch.cat((a, b), -1), "sum": a + b, "mul": a * b, "ave": (a + b) / 2}.items():
        module = make("GRU", bidirectional=True, merge=merge)
        module.load_state_dict(pair.state_dict())
        agree(module(x)[0], expected)


def test_layers_are_stacked_with_residuals(agree):
    module = make("GRU", num_layers=3, residual=True)
    layers = [rnn.Recurrent("GRU", 5 if k == 0 else 7, 7, dtype=D) for k in range(3)]
    for k, layer in enumerate(layers):
        layer.load_state_dict({n[:-1] + "0": p for n, p in module.state_dict().items() if n.endswith(f"l{k}")})
    x = torch.randn(4, 3, 5, dtype=D)
    y0, s0 = layers[0](x)
    y1, s1 = layers[1](y0)
    y2, s2 = layers[2](y0 + y1)
    agree(module(x), (y0 + y1 + y2, {"h": torch.cat((s0["h"], s1["h"], s2["h"]))}))


def test_dropout_acts_between_layers_in_training_only(agree):
    module, plain = make("GRU", num_layers=2, dropout=0.5), make("GRU", num_layers=2)
    plain.load_state_dict(module.state_dict())
    x = torch.randn(4, 3, 5, dtype=D)
    torch.manual_seed(3)
    first = module(x)[0]
    assert not torch.equal(first, module(x)[0])
    torch.manual_seed(3)
    assert torch.equal(first, module(x)[0])
    agree(module.eval()(x), plain(x))


def test_coins_come_from_torchs_generator_and_follow_their_rows(agree):
    module = make(Coins)
    x = torch.randn(5, 3, 5, dtype=D)
    torch.manual_seed(3)
    first = module(x)[0]
    assert not torch.equal(first, module(x)[0])
    torch.manual_seed(3)
    assert torch.equal(first, module(x)[0])
    torch.manual_seed(3)
    lengths = torch.tensor([2, 5, 4])
    ragged = module(x, lengths=lengths)[0]  # sorted inside: the coins must stay with their rows
    agree(ragged, first * (torch.arange(5)[:, None] < lengths)[..., None])
    assert torch.equal(module.eval()(x)[0], module(x)[0])


def test_initial_states_can_be_learned(agree, gradients):
    module = make(Odd, num_layers=2, learn_initial_state=True)
    assert torch.equal(module.initial_n_l1, torch.ones(7, dtype=D))
    assert not hasattr(module, "initial_t_l0")
    with torch.no_grad():
        module.initial_h_l0.normal_()
    x = torch.randn(4, 3, 5, dtype=D)
    state = {k: torch.stack([getattr(module, f"initial_{k}_l{i}").expand(3, 7) for i in range(2)]) for k in ("h", "n")}
    agree(module(x), module(x, state))
    learned = [module.initial_h_l0, module.initial_n_l1]
    agree(gradients(module(x), learned), gradients(module(x, state), learned))
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.fill_(3.0) if name.startswith("initial") else None
    module.reset_parameters()
    assert torch.equal(module.initial_n_l1, torch.ones(7, dtype=D)) and not module.initial_h_l1.any()


def in_pieces(module, x, cuts, state, streams):
    """One row by calls without a reset, a call for each piece between its cuts: what a call with resets must be equal to."""
    ends = [module.reverse or place.endswith("reverse") for *_, place in module._places()]  # these begin at the row's end
    learned = {name: [getattr(module, f"initial_{name}_{place}")[None] for *_, place in module._places()] for name in state}
    bounds = [0, *[t for t in range(1, len(x)) if cuts[t]], len(x)]
    outputs, finals = [], []
    for first, last in zip(bounds, bounds[1:], strict=False):
        given = [last == len(x) if end else first == 0 and not cuts[0] for end in ends]
        own = {name: torch.stack([value[k] if given[k] else learned[name][k] for k in range(len(ends))])
               for name, value in state.items()}  # fmt: skip
        y, final = module(x[first:last], own, **{name: value[first:last] for name, value in streams.items()})
        outputs.append(y)
        finals.append(final)
    final = {name: torch.stack([finals[0 if end else -1][name][k] for k, end in enumerate(ends)]) for name in finals[0]}
    return torch.cat(outputs), final


OPTIONS = ({"num_layers": 2}, {"bidirectional": True, "num_layers": 2, "merge": "sum"}, {"reverse": True})


@pytest.mark.parametrize(
    ("backend", "options"), [*itertools.product(("reference", "eager", "cpu"), OPTIONS), ("cpu", {"recompute": 2})], ids=str
)
def test_a_reset_restores_the_learned_state_and_not_the_callers(agree, gradients, backend, options):
    module = make(Odd, learn_initial_state=True, backend=backend, **options)
    for name, value in module.named_parameters():
        if name.startswith("initial"):
            torch.nn.init.normal_(value)
    x = torch.randn(7, 3, 5, dtype=D, requires_grad=True)
    reset, streams = torch.rand(7, 3) < 0.4, {"mask": torch.rand(7, 3) < 0.7, "elapsed": torch.rand(7, 3, dtype=D) + 0.5}
    reset[:, 0], reset[0, 1], reset[0, 2] = False, True, False
    state = {name: torch.randn(len(module._places()), 3, 7, dtype=D, requires_grad=True) for name in ("h", "n")}
    found = module(x, state, reset=reset, **streams)
    rows = []
    for k in range(3):
        row, own = slice(k, k + 1), {name: value[:, k : k + 1] for name, value in state.items()}
        rows.append(in_pieces(module, x[:, row], reset[:, k], own, {name: value[:, row] for name, value in streams.items()}))
    wanted = torch.cat([y for y, _ in rows], 1), {name: torch.cat([final[name] for _, final in rows], 1) for name in found[1]}
    agree(found, wanted)
    leaves = [x, *state.values(), *(p for p in module.parameters() if p.requires_grad)]
    agree(gradients(found, leaves), gradients(wanted, leaves))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_the_gradient_of_a_learned_state_that_a_reset_restores_is_that_of_differences(backend):
    module = rnn.Recurrent("LSTM", 3, 4, learn_initial_state=True, bidirectional=True, backend=backend, dtype=D)
    names = [name for name, _ in module.named_parameters() if name.startswith("initial")]
    x, reset = torch.randn(6, 2, 3, dtype=D), torch.rand(6, 2) < 0.5
    values = [torch.randn(4, dtype=D, requires_grad=True) for _ in names]

    def run(*values):
        y, state = torch.func.functional_call(module, dict(zip(names, values, strict=True)), (x,), {"reset": reset})
        return y, state["h"], state["c"]

    assert torch.autograd.gradcheck(run, values)


def test_tokens_and_compiled_modules_restore_learned_states(agree):
    module = make("GRU", learn_initial_state=True, num_layers=2)
    with torch.no_grad():
        module.initial_h_l0.normal_()
        module.initial_h_l1.normal_()
    tokens, reset = torch.randint(5, (6, 3)), torch.rand(6, 3) < 0.4
    x = torch.nn.functional.one_hot(tokens, 5).to(D)
    agree(module(tokens, reset=reset), module(x, reset=reset))
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    agree(compiled(x, reset=reset), module(x, reset=reset))
    agree(module.trace(x, reset=reset)["h_l1"], module(x, reset=reset)[0])


def test_missing_states_start_at_the_cells_values_and_time_is_whole(agree):
    module = make(Odd)
    x = torch.randn(4, 3, 5, dtype=D)
    full = {"h": torch.zeros(1, 3, 7, dtype=D), "n": torch.ones(1, 3, 7, dtype=D), "t": torch.zeros(1, 3, 1, dtype=torch.int64)}
    agree(module(x), module(x, full))
    agree(module(x, {"n": full["n"] * 2}), module(x, {**full, "n": full["n"] * 2}))
    t = module(x, lengths=[4, 1, 0])[1]["t"]
    assert t.dtype == torch.int64 and t.flatten().tolist() == [4, 1, 0]


def test_states_as_wide_as_the_input_keep_one_form():
    module = make(Delayed, num_layers=2)
    _, state = module(torch.randn(4, 3, 5, dtype=D))
    assert state["v"].shape == (2, 3, 7)
    assert not state["v"][0, :, 5:].any()


def test_trace_shows_every_named_value(agree):
    module = make("LSTM", num_layers=2, bidirectional=True)
    x, state = torch.randn(5, 3, 5, dtype=D), random_state(module, 3)
    trace = module.trace(x, state, lengths=[5, 2, 4])
    y, final = module(x, state, lengths=[5, 2, 4])
    assert {f"{n}_l{k}{r}" for n in "ifgohc" for k in (0, 1) for r in ("", "_reverse")} == set(trace)
    agree(torch.cat((trace["h_l1"], trace["h_l1_reverse"]), -1)[:2], y[:2])
    agree(trace["o_l0"] * trace["c_l0"].tanh(), trace["h_l0"])
    agree(trace["c_l0"][-1, 0], final["c"][0, 0])


def test_parameters_bear_their_authors_names():
    module = make("GRU", num_layers=2, bidirectional=True)
    assert module.parameter("U_r", 1, True) is module.U_r_l1_reverse
    assert module.W_r_l1.shape == (7, 14)
    assert make(Odd).parameter("F").requires_grad is False
    assert "F_l0" in make(Odd).state_dict() and "F_l0" not in dict(make(Odd).named_parameters())
    with pytest.raises(RecellError, match="no parameter 'U_q'"):
        module.parameter("U_q")
    with pytest.raises(RecellError, match="no layer 2"):
        module.parameter("U_r", 2)


def test_initialize_takes_names_and_their_prefixes():
    module = make("LSTM", num_layers=2).initialize(U="orthogonal", b_f=1.0, W_i=lambda shape: torch.full(shape, 0.25))
    eye = torch.eye(7, dtype=D)
    for layer in (0, 1):
        for gate in "ifgo":
            u = module.parameter(f"U_{gate}", layer)
            torch.testing.assert_close(u @ u.T, eye)
        assert torch.equal(module.parameter("b_f", layer), torch.ones(7, dtype=D))
        assert (module.parameter("W_i", layer) == 0.25).all()
    with pytest.raises(RecellError, match="no parameter 'Q'"):
        module.initialize(Q=1.0)
    odd = make(Odd)
    assert (odd.b_g_l0 == 0.5).all()
    torch.testing.assert_close(odd.F_l0 @ odd.F_l0.T, eye)


def test_copies_and_pickles_keep_everything(agree):
    module = make(Odd, num_layers=2)
    x = torch.randn(4, 3, 5, dtype=D)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):  # noqa: S301 (our own bytes)
        assert other.cell == module.cell and other.W_g_l0 is not module.W_g_l0
        agree(other(x), module(x))


def test_nan_passes_through_its_own_row_alone():
    module = make("LSTM", num_layers=2)
    x = torch.randn(4, 3, 5, dtype=D)
    x[1, 1, 2] = float("nan")
    y, state = module(x)
    assert y[2:, 1].isnan().all() and not y[:, [0, 2]].isnan().any() and not y[0].isnan().any()
    assert state["h"][:, 1].isnan().all()


def test_what_it_says_of_itself():
    module = make("SCRN", num_layers=2, sizes={"context": 3}, dropout=0.25, batch_first=True)
    assert module.extra_repr() == "SCRN, 5, 7, num_layers=2, batch_first=True, dropout=0.25, sizes={'context': 3}"
    assert make("GRU", recompute=4).extra_repr() == "GRU, 5, 7, recompute=4"


def test_a_cell_with_its_own_output_layer_is_one_layer(agree):
    module = make(recell.cells.get("Jordan"), sizes={"output": 3})
    assert module(torch.randn(4, 2, 5, dtype=D))[0].shape == (4, 2, 3)


def test_trace_bears_the_names_of_its_own_cell():
    @cell
    def One(p, x, h):
        first = tanh(p.W @ x + p.U @ h)
        return first * h

    @cell
    def Other(p, x, h):
        second = tanh(p.A @ x + p.B @ h)
        return second * h

    assert One == Other
    x = torch.randn(4, 2, 3)
    for backend in ("eager", "reference"):
        names = [set(rnn.Recurrent(made, 3, 5, backend=backend).trace(x)) for made in (One, Other)]
        assert names == [{"first_l0", "h_l0"}, {"second_l0", "h_l0"}]


def test_sizes_may_be_numpys_numbers(agree):
    np = pytest.importorskip("numpy")
    module = rnn.Recurrent("SCRN", np.int64(5), np.int32(7), sizes={"context": np.int64(3)})
    other = rnn.Recurrent("SCRN", 5, 7, sizes={"context": 3})
    other.load_state_dict(module.state_dict())
    x = torch.randn(4, 3, 5)
    agree(module(x), other(x))
