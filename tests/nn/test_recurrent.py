"""Laws of `Recurrent`: what a mask, a reset, a length, a direction and a chunk mean, for any cell."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell
import recell.nn as rnn
from recell import cell, dropout, exp, sigmoid, tanh
from recell.errors import CellError, DataError, RecellError, ShapeError

D = torch.float64
CELLS = ("Elman", "LSTM", "GRU", "PeepholeLSTM", "GRUResetBefore")


@cell(initial={"n": 1.0}, output="o")
def Odd(p, x, h, n, t, dt):
    """A local for an output, an initial value, time and elapsed time, a frozen parameter."""
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.vector("b_g", init=0.5))
    o = tanh(p.W_o @ x + p.matrix("F", rows="hidden", cols="hidden", trainable=False, init="orthogonal") @ h)
    n = g * n + dt * o
    h = tanh(n + 0.1 * t * g)
    return h, n


@cell(sizes={"v": "input"}, output="h")
def Delayed(p, x, c, v):
    """A state as wide as the input: it differs from layer to layer."""
    z = tanh(p.W_z @ x + p.V_z @ v + p.b_z)
    f = sigmoid(p.W_f @ x + p.V_f @ v + p.b_f)
    c = f * c + (1 - f) * z
    h = tanh(p.W_h @ x) * c  # noqa: F841 (the output)
    return c, x


@cell
def Coins(p, x, h):
    h = tanh(p.W @ x + p.U @ dropout(h, 0.5) + p.b)
    return h


def make(name, **options):
    return rnn.Recurrent(name, 5, 7, **{"dtype": D, **options})


def random_state(module, rows, generator=None):
    state = {}
    for index, info in enumerate(module.cell.states):
        width = max(module._widths[index])
        shape = (len(module._stored_names), rows, width)
        state[info.name] = (
            torch.arange(rows)[None, :, None].expand(shape)
            if info.name == "t"
            else (torch.randn(shape, dtype=D, requires_grad=True))
        )
    return state


def leaves(module, x, state):
    return [x, *[s for s in state.values() if s.requires_grad], *module.parameters()]


@pytest.mark.parametrize("name", [*CELLS, Odd, Delayed])
def test_the_kernel_agrees_with_the_reference(name, agree, gradients):
    kernel = make(name, num_layers=2, bidirectional=True)
    reference = make(name, num_layers=2, bidirectional=True, backend="reference")
    reference.load_state_dict(kernel.state_dict())
    x, state = torch.randn(6, 4, 5, dtype=D, requires_grad=True), random_state(kernel, 4)
    options = {"lengths": [2, 6, 0, 5], "mask": torch.rand(6, 4) < 0.8, "reset": torch.rand(6, 4) < 0.2}
    if kernel.cell.uses_elapsed:
        options["elapsed"] = torch.rand(6, 4, dtype=D)
    found, expected = kernel(x, state, **options), reference(x, state, **options)
    agree(found, expected)
    agree(gradients(found, leaves(kernel, x, state)), gradients(expected, leaves(reference, x, state)))


@pytest.mark.parametrize("name", ["LSTM", "GRU", Odd])
def test_rows_of_any_length_are_runs_of_their_own(name, agree, gradients):
    module = make(name, num_layers=2, bidirectional=True)
    x, state = torch.randn(6, 5, 5, dtype=D, requires_grad=True), random_state(module, 5)
    lengths = [3, 0, 6, 1, 4]
    y, final = module(x, state, lengths=torch.tensor(lengths))
    alone_y, alone_final = [], []
    for row, length in enumerate(lengths):
        own = {k: v[:, row : row + 1] for k, v in state.items()}
        if not length:
            alone_y.append(torch.zeros_like(y[:, :1]))
            alone_final.append(own)
            continue
        one, last = module(x[:length, row : row + 1], own)
        alone_y.append(torch.cat((one, one.new_zeros(6 - length, 1, one.shape[2]))))
        alone_final.append(last)
    expected = torch.cat(alone_y, 1), {k: torch.cat([last[k] for last in alone_final], 1) for k in final}
    agree((y, final), expected)
    inputs = leaves(module, x, state)
    agree(gradients((y, final), inputs), gradients(expected, inputs))


def test_padding_is_never_read(agree):
    module = make("LSTM", bidirectional=True)
    x = torch.randn(6, 3, 5, dtype=D)
    y, state = module(x, lengths=[2, 6, 4])
    spoiled = x.clone()
    spoiled[2:, 0], spoiled[4:, 2] = float("nan"), float("inf")
    agree(module(spoiled, lengths=[2, 6, 4]), (y, state))


@pytest.mark.parametrize("name", ["GRU", Odd])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_masked_step_is_as_if_it_were_not_there(name, reverse, agree):
    module = make(name, reverse=reverse)
    x, state = torch.randn(6, 2, 5, dtype=D), random_state(module, 2)
    mask = torch.tensor([True, False, True, True, False, True])
    y, final = module(x, state, mask=mask[:, None].expand(6, 2))
    without, last = module(x[mask], state)
    agree((y[mask], final), (without, last))
    if name is Odd:
        agree(y[~mask], torch.zeros_like(y[~mask]))  # a local has nothing to hold
    else:
        assert torch.equal(y[1], y[2 if reverse else 0])


@pytest.mark.parametrize("name", ["LSTM", Odd])
def test_a_reset_is_a_fresh_start_in_both_directions(name, agree, gradients):
    module = make(name, bidirectional=True)
    x = torch.randn(7, 2, 5, dtype=D, requires_grad=True)
    reset = torch.zeros(7, 2, dtype=torch.bool)
    reset[3] = True
    y, final = module(x, reset=reset)
    (first, left), (second, right) = module(x[:3]), module(x[3:])
    expected = {k: torch.stack((right[k][0], left[k][1])) for k in final}
    agree(y, torch.cat((first, second)))
    agree(final, expected)
    inputs = [x, *module.parameters()]
    agree(gradients((y, final), inputs), gradients((torch.cat((first, second)), expected), inputs))


@pytest.mark.parametrize("name", [*CELLS, "SCRN", Odd, Delayed])
def test_two_chunks_equal_the_whole(name, agree):
    module = make(name, num_layers=2)
    x = torch.randn(7, 3, 5, dtype=D)
    whole, final = module(x)
    first, state = module(x[:3])
    second, last = module(x[3:], state)
    agree((torch.cat((first, second)), last), (whole, final))


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
    with pytest.raises(RecellError, match="learn_initial_state"):
        module(x, reset=torch.zeros(4, 3, dtype=torch.bool))


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


def test_every_form_of_a_batch_gives_the_same(agree):
    module, swapped = make("LSTM", num_layers=2), make("LSTM", num_layers=2, batch_first=True)
    swapped.load_state_dict(module.state_dict())
    x, mask = torch.randn(6, 3, 5, dtype=D), torch.rand(6, 3) < 0.7
    y, state = module(x, mask=mask, lengths=[4, 6, 1])
    agree(swapped(x.transpose(0, 1), mask=mask.T, lengths=[4, 6, 1]), (y.transpose(0, 1), state))
    alone = module(x[:, 0], {k: v[:, 0] for k, v in state.items()}, mask=mask[:, 0])
    rows = module(x, state, mask=mask)
    agree(alone, (rows[0][:, 0], {k: v[:, 0] for k, v in rows[1].items()}))


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_in_packed_out(batch_first, agree):
    module = make("GRU", bidirectional=True, batch_first=batch_first)
    lengths, x = torch.tensor([2, 6, 3]), torch.randn(6, 3, 5, dtype=D)
    x = x.transpose(0, 1) if batch_first else x
    state = random_state(module, 3)
    packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
    y, final = module(packed, state)
    agree((pad_packed_sequence(y, batch_first=batch_first)[0], final), module(x, state, lengths=lengths))


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


X = torch.randn(4, 3, 5)
BAD_CALLS = {
    "features": (lambda m: m(torch.randn(4, 3, 6)), "6 features .* input_size=5"),
    "dimensions": (lambda m: m(torch.randn(4, 3, 5, 1)), "4 dimensions"),
    "no tensor": (lambda m: m([[1.0]]), "list"),
    "dtype": (lambda m: m(X.double()), r"x is float64 .* x.to\(torch.float32\)"),
    "whole numbers": (lambda m: m(X.long()), "x is int64"),
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


def test_elapsed_may_be_written_to_before_the_backward_step(agree):
    @cell
    def Fading(p, x, h, dt):
        return tanh(p.W @ x + p.U @ h * exp(-dt))

    module = rnn.Recurrent(Fading, 3, 4, dtype=D)
    x, elapsed = torch.randn(5, 2, 3, dtype=D), torch.rand(5, 2, dtype=D)
    y, _ = module(x, elapsed=elapsed)
    before = torch.autograd.grad(y.sum(), module.U_l0, retain_graph=True)
    elapsed.mul_(7)
    agree(torch.autograd.grad(y.sum(), module.U_l0), before)


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


def test_sizes_may_be_numpys_numbers(agree):
    np = pytest.importorskip("numpy")
    module = rnn.Recurrent("SCRN", np.int64(5), np.int32(7), sizes={"context": np.int64(3)})
    other = rnn.Recurrent("SCRN", 5, 7, sizes={"context": 3})
    other.load_state_dict(module.state_dict())
    agree(module(X), other(X))
