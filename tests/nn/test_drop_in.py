"""The drop-ins against torch.nn itself: weights, outputs, all gradients, every form of input."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import recell.nn as rnn
from recell.errors import DataError, RecellError, ShapeError

D = torch.float64
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
KINDS = [
    ("LSTM", {}),
    ("GRU", {}),
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("LSTM", {"proj_size": 3}),
    ("LSTM", {"bias": False}),
    ("GRU", {"bias": False}),
    ("RNN", {"bias": False}),
    ("LSTM", {"proj_size": 3, "bias": False}),
]
CELLS = [
    ("LSTMCell", {}),
    ("GRUCell", {}),
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("LSTMCell", {"bias": False}),
    ("GRUCell", {"bias": False}),
]


def pair(kind, dtype=D, **options):
    """torch's module and ours from the same seed."""
    made = []
    for package in (nn, rnn):
        torch.manual_seed(11)
        made.append(getattr(package, kind)(5, 7, dtype=dtype, **options))
    return made


def states(kind, layers, rows, options, dtype=D):
    first = (layers, rows, options.get("proj_size") or 7)
    shapes = [first, (layers, rows, 7)] if kind.startswith("LSTM") else [first]
    found = tuple(torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes)
    return found if len(found) > 1 else found[0]


def check(agree, gradients, theirs, ours, x, hx):
    inputs = [x, *(hx if isinstance(hx, tuple) else [hx])]
    a, b = theirs(x, hx), ours(x, hx)
    agree(b, a)
    agree(gradients(b, [*inputs, *ours.parameters()]), gradients(a, [*inputs, *theirs.parameters()]))
    agree(ours(x), theirs(x))


@pytest.mark.parametrize("kind, options", [*KINDS, *CELLS])
def test_the_same_seed_gives_torchs_weights_under_torchs_names(kind, options):
    theirs, ours = pair(kind, **options)
    for (name, a), (own, b) in zip(theirs.named_parameters(), ours.named_parameters(), strict=True):
        assert name == own and torch.equal(a, b)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert ours.extra_repr().replace("nonlinearity=relu", "") == theirs.extra_repr().replace("nonlinearity=relu", "")


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("kind, options", KINDS)
def test_outputs_and_all_gradients_are_torchs(kind, options, dtype, agree, gradients):
    theirs, ours = pair(kind, dtype, num_layers=2, bidirectional=True, **options)
    x = torch.randn(6, 4, 5, dtype=dtype, requires_grad=True)
    check(agree, gradients, theirs, ours, x, states(kind, 4, 4, options, dtype))


@pytest.mark.parametrize("kind, options", [("LSTM", {"bidirectional": True}), ("GRU", {}), ("LSTM", {"proj_size": 129})])
def test_gradients_of_large_stacks_are_torchs(kind, options, agree, gradients):
    """Large enough to be written into the stack in place; the width of the first input is not the state's, the second's is."""
    torch.manual_seed(3)
    theirs, ours = (getattr(package, kind)(67, 131, 2, dtype=D, **options) for package in (nn, rnn))
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 5, 67, dtype=D, requires_grad=True)
    found, expected = (gradients(m(x), [x, *m.parameters()]) for m in (ours, theirs))
    agree(found, expected)
    assert len({g.data_ptr() for g in found}) == len(found)
    assert all(g.is_contiguous() for g in found)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("kind, options", KINDS[:5])
def test_packed_sequences_are_torchs(kind, options, sort, agree, gradients):
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, **options)
    x, hx = torch.randn(6, 4, 5, dtype=D, requires_grad=True), states(kind, 4, 4, options)
    lengths = torch.tensor([6, 4, 3, 1] if sort else [3, 6, 1, 4])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=sort)
    again = pack_padded_sequence(x, lengths, enforce_sorted=sort)
    (a, final_a), (b, final_b) = theirs(packed, hx), ours(again, hx)
    assert torch.equal(a.batch_sizes, b.batch_sizes)
    assert (a.sorted_indices is None) == (b.sorted_indices is None)
    found, expected = (b.data, final_b), (a.data, final_a)
    agree(found, expected)
    inputs = [x, *(hx if isinstance(hx, tuple) else [hx])]
    agree(gradients(found, [*inputs, *ours.parameters()]), gradients(expected, [*inputs, *theirs.parameters()]))
    padded, final = ours(x, hx, lengths=lengths)
    agree(final, final_a)
    agree(torch.nn.utils.rnn.pad_packed_sequence(a)[0], padded)


@pytest.mark.parametrize("kind, options", KINDS[:5])
def test_batch_first_and_single_sequences_are_torchs(kind, options, agree, gradients):
    theirs, ours = pair(kind, batch_first=True, **options)
    check(agree, gradients, theirs, ours, torch.randn(3, 6, 5, dtype=D, requires_grad=True), states(kind, 1, 3, options))
    single = states(kind, 1, 3, options)
    single = tuple(s[:, 0] for s in single) if isinstance(single, tuple) else single[:, 0]
    check(agree, gradients, theirs, ours, torch.randn(6, 5, dtype=D, requires_grad=True), single)


@pytest.mark.parametrize("kind, options", CELLS)
def test_cells_are_torchs(kind, options, agree, gradients):
    theirs, ours = pair(kind, **options)
    hx = states(kind, 1, 4, options)
    rows = tuple(s[0] for s in hx) if isinstance(hx, tuple) else hx[0]
    check(agree, gradients, theirs, ours, torch.randn(4, 5, dtype=D, requires_grad=True), rows)
    one = tuple(s[0, 0] for s in hx) if isinstance(hx, tuple) else hx[0, 0]
    check(agree, gradients, theirs, ours, torch.randn(5, dtype=D, requires_grad=True), one)


def test_dropout_between_layers_draws_as_torch_does(agree):
    theirs, ours = pair("GRU", num_layers=3, dropout=0.4)
    x = torch.randn(6, 4, 5, dtype=D)
    torch.manual_seed(2)
    expected = theirs(x)
    torch.manual_seed(2)
    agree(ours(x), expected)
    agree(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_masks_and_resets_come_in_addition(kind, agree):
    _, ours = pair(kind)
    x = torch.randn(6, 2, 5, dtype=D)
    keep = torch.tensor([True, False, True, True, False, True])
    y, final = ours(x, mask=keep[:, None].expand(6, 2))
    agree((y[keep], final), ours(x[keep]))
    cut = (torch.arange(6) == 4)[:, None].expand(6, 2)
    agree(ours(x, reset=cut)[0], torch.cat((ours(x[:4])[0], ours(x[4:])[0])))


def test_gates_are_read_by_their_names(agree):
    _, ours = pair("LSTM", num_layers=2, bidirectional=True)
    x = torch.randn(6, 4, 5, dtype=D)
    trace = ours.trace(x)
    agree(torch.cat((trace["h_l1"], trace["h_l1_reverse"]), -1), ours(x)[0])
    w, u = ours.parameter("W_i"), ours.parameter("U_i")
    expected = torch.sigmoid(x[0] @ w.T + torch.zeros(4, 7, dtype=D) @ u.T + ours.parameter("b_i"))
    agree(trace["i_l0"][0], expected)


def test_parameters_by_the_authors_names_are_views_of_the_stacks():
    _, lstm = pair("LSTM", num_layers=2, bidirectional=True)
    u = lstm.parameter("U_f", 1, True)
    assert u.data_ptr() == lstm.weight_hh_l1_reverse[7:14].data_ptr() and u.shape == (7, 7)
    assert torch.equal(lstm.parameter("b_g"), (lstm.bias_ih_l0 + lstm.bias_hh_l0)[14:21])
    _, gru = pair("GRU")
    with torch.no_grad():
        gru.parameter("c_n").fill_(3.0)
    assert (gru.bias_hh_l0[14:] == 3).all()


def test_copies_and_pickles(agree):
    _, ours = pair("LSTM", num_layers=2, proj_size=3)
    x = torch.randn(6, 4, 5, dtype=D)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):  # noqa: S301 (our own bytes)
        agree(other(x), ours(x))


def test_weights_are_read_at_every_call(agree):
    theirs, ours = pair("GRU")
    x = torch.randn(6, 4, 5, dtype=D)
    ours(x)
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        a.data.mul_(-2)
        b.data.mul_(-2)
    agree(ours(x), theirs(x))
    ours.flatten_parameters()
    assert [len(weights) for weights in ours.all_weights] == [4]
    replaced = {name: p * 0.5 for name, p in theirs.named_parameters()}
    agree(torch.func.functional_call(ours, replaced, (x,)), torch.func.functional_call(theirs, replaced, (x,)))


def test_parametrized_weights_train(agree, gradients):
    theirs, ours = pair("LSTM")
    for module in (theirs, ours):
        nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(6, 4, 5, dtype=D)
    agree(gradients(ours(x), ours.parameters()), gradients(theirs(x), theirs.parameters()))


@pytest.mark.parametrize("kind", (rnn.LSTM, rnn.GRU, rnn.RNN))
def test_sizes_may_be_numpys_whole_numbers(kind, agree):
    made = kind(*(np.int64(size) for size in (5, 7, 2)), **({"proj_size": np.int32(3)} if kind is rnn.LSTM else {}))
    same = kind(5, 7, 2, **({"proj_size": 3} if kind is rnn.LSTM else {}))
    same.load_state_dict(made.state_dict())
    x = torch.randn(6, 4, 5)
    agree(made(x), same(x))
    assert str(made) == str(same) and {type(made.input_size), type(made.hidden_size), type(made.num_layers)} == {int}


def test_a_lone_layer_warns_of_dropout_as_torch_does():
    with pytest.warns(UserWarning, match="dropout"):
        rnn.LSTM(5, 7, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rnn.LSTM(5, 7, 2, dropout=0.5)


@pytest.mark.parametrize(
    "call, expected",
    [
        (lambda: rnn.LSTM(5, 7)(torch.randn(4, 3, 6)), "6 features"),
        (lambda: rnn.LSTM(5, 7)(torch.randn(4, 3, 5), torch.zeros(1, 3, 7)), "tuple of 2 tensors"),
        (lambda: rnn.GRU(5, 7)(torch.randn(4, 3, 5), torch.zeros(1, 2, 7)), r"\(1, 2, 7\).*\(1, 3, 7\)"),
        (lambda: rnn.GRU(5, 7)(torch.randn(4, 5), torch.zeros(1, 2, 7)), r"\(1, 7\)"),
        (lambda: rnn.GRU(5, 7)(torch.randn(4, 3, 5).double()), "x is float64"),
        (lambda: rnn.LSTM(5, 7, proj_size=7), "proj_size is 7"),
        (lambda: rnn.LSTM(5, 0), "hidden_size is a whole number from 1; came 0"),
        (lambda: rnn.GRU(True, 7), "input_size is a whole number from 1; came True"),
        (lambda: rnn.LSTM(5, 7, proj_size=2.5), "proj_size is 2.5"),
        (lambda: rnn.RNN(5, 7, nonlinearity="sine"), "nonlinearity 'sine'"),
        (lambda: rnn.RNN(5, 7, 2, dropout=2.0), "dropout is 2"),
        (lambda: rnn.LSTMCell(5, 7)(torch.randn(4, 5), torch.zeros(4, 7)), "tuple of 2 tensors"),
        (lambda: rnn.GRUCell(5, 7)(torch.randn(4, 3, 5)), "3 dimensions"),
        (lambda: rnn.GRUCell(5, 7)(torch.randn(4, 5), torch.zeros(3, 7)), r"state h is \(3, 7\)"),
    ],
)
def test_bad_input_gets_one_clear_line(call, expected):
    with pytest.raises((ShapeError, DataError), match=expected) as caught:
        call()
    assert isinstance(caught.value, RecellError) and "\n" not in str(caught.value)


NAMED = {"LSTM": ("b_f", "U_i", "U", 4), "GRU": ("c_n", "W_z", "U", 3), "RNN": ("b", "W", "U", 1)}


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", NAMED)
def test_initialize_reaches_the_blocks_of_the_stacks_by_their_authors_names(kind, single):
    bias, matrix, prefix, gates = NAMED[kind]
    module = getattr(rnn, f"{kind}Cell")(6, 6) if single else getattr(rnn, kind)(6, 6, 2, bidirectional=True)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert module.initialize(**{bias: 1.5, matrix: 0.25, prefix: "orthogonal"}) is module
    places = [()] if single else [(layer, reverse) for layer in (0, 1) for reverse in (False, True)]
    for place in places:
        assert (module.parameter(bias, *place) == 1.5).all()
        assert matrix.startswith(prefix) or (module.parameter(matrix, *place) == 0.25).all()
        names = [n for n in (p.name for p in module.cell.parameters(module.cell.resolve(6, 6))) if n.startswith(prefix)]
        assert len(names) == gates
        for name in names:
            u = module.parameter(name, *place)
            torch.testing.assert_close(u @ u.T, torch.eye(6))
    changed = sum(int((before[name] != value).sum()) for name, value in module.state_dict().items())
    summands = 1 if bias == "c_n" else 2  # torch's two biases of a gate: the first has the value, the second is 0
    matrices = (0 if matrix.startswith(prefix) else 1) * (len(places) * 36 + (0 if single else 2 * 36))
    assert changed == len(places) * (gates * 36 + summands * 6) + matrices


def test_initialize_says_what_there_is_not():
    with pytest.raises(DataError, match="no parameter 'b_q'; it has W_i"):
        rnn.LSTM(3, 4).initialize(b_q=1.0)
    with pytest.raises(DataError, match="made with bias=False"):
        rnn.LSTM(3, 4, bias=False).initialize(b_f=1.0)
    module = rnn.LSTM(3, 5, proj_size=2).initialize(V=0.5)
    assert (module.weight_hr_l0 == 0.5).all()
    assert (rnn.Step("LSTM", 3, 4).initialize(b=2.0).b_f == 2).all()
