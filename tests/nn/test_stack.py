"""Laws of `Stack`: modules of different cells run one after the other, with one state, whatever form a batch has."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn
from recell import cell, cells, exp, tanh
from recell.errors import CellError, RecellError, ShapeError
from recell.modifiers import zoneout

D = torch.float64


@cell
def Fading(p, x, h, dt):
    return tanh(p.W @ x + p.U @ h * exp(-dt))


def parts(batch_first=False, **last):
    """Three modules, five layers; every output is 8 wide."""
    options = {"dtype": D, "batch_first": batch_first}
    return [
        rnn.Recurrent("LSTM", 5, [3, 4], bidirectional=True, **options),
        rnn.Recurrent(Fading, 8, 8, 2, learn_initial_state=True, **options),
        rnn.Recurrent("GRU", 8, 4, bidirectional=True, **{**options, **last}),
    ]


def make(connection=None, **options):
    stack = rnn.Stack(parts(options.pop("batch_first", False)), **({connection: True} if connection else {}), **options)
    with torch.no_grad():
        for name, parameter in stack.named_parameters():
            if "initial_" in name or "b_highway" in name:
                parameter.uniform_(-1, 1)
    return stack


def random_state(stack, rows):
    shapes = {"h_l0": 3, "c_l0": 3, "h_l1": 4, "c_l1": 4, "h_l4": 4}
    state = {name: torch.randn(2, rows, size, dtype=D) for name, size in shapes.items()}
    return {**state, **{f"h_l{n}": torch.randn(1, rows, 8, dtype=D) for n in (2, 3)}}


def by_hand(stack, x, state, **streams):
    """The definition, module after module."""
    first, second, third = stack.layers
    elapsed = streams.pop("elapsed")
    padded = {n: torch.cat((torch.nn.functional.pad(state[f"{n}_l0"], (0, 1)), state[f"{n}_l1"])) for n in "hc"}
    y, one = first(x, padded, **streams)
    z, two = second(y, {"h": torch.cat((state["h_l2"], state["h_l3"]))}, elapsed=elapsed, **streams)
    z = carried(stack, 1, y, z)
    y, three = third(z, {"h": state["h_l4"]}, **streams)
    final = {f"{n}_l{k}": one[n][2 * k : 2 * k + 2, :, : 3 + k] for k in (0, 1) for n in "hc"}
    final |= {"h_l2": two["h"][:1], "h_l3": two["h"][1:], "h_l4": three["h"]}
    return carried(stack, 2, z, y), final


def carried(stack, number, x, y):
    if stack.residual:
        return x + y
    if not stack.highway:
        return y
    weight, bias = getattr(stack, f"W_highway_l{number}"), getattr(stack, f"b_highway_l{number}")
    gate = 1 / (1 + torch.exp(-(x @ weight.T + bias)))
    return gate * y + (1 - gate) * x


@pytest.mark.parametrize("connection", [None, "residual", "highway"])
def test_modules_run_one_after_the_other(connection, agree, gradients):
    stack = make(connection)
    x, state = torch.randn(6, 4, 5, dtype=D, requires_grad=True), random_state(stack, 4)
    streams = {"lengths": [2, 6, 0, 5], "mask": torch.rand(6, 4) < 0.8, "elapsed": torch.rand(6, 4, dtype=D)}
    found, expected = stack(x, state, **streams), by_hand(stack, x, state, **streams)
    assert set(found[1]) == set(expected[1])
    agree((found[0], *(found[1][n] for n in expected[1])), (expected[0], *expected[1].values()))
    inputs = [x, *[p for n, p in stack.named_parameters() if "initial_" not in n]]
    agree(gradients(found[0], inputs), gradients(expected[0], inputs))


def test_every_form_of_a_batch_gives_the_same(agree):
    stack, swapped = make("highway"), make("highway", batch_first=True)
    swapped.load_state_dict(stack.state_dict())
    x, lengths, state = torch.randn(6, 3, 5, dtype=D), torch.tensor([4, 6, 1]), random_state(stack, 3)
    y, final = stack(x, state, lengths=lengths)
    flipped = swapped(x.transpose(0, 1), state, lengths=lengths)
    agree((flipped[0], flipped[1]), (y.transpose(0, 1), final))
    for module, batch, first in ((stack, x, False), (swapped, x.transpose(0, 1), True)):
        packed, last = module(pack_padded_sequence(batch, lengths, first, enforce_sorted=False), state)
        agree((pad_packed_sequence(packed)[0], last), (y, final))
    agree(stack(x[:, 1], {n: v[:, 1] for n, v in state.items()}), (stack(x, state)[0][:, 1], {
        n: v[:, 1] for n, v in stack(x, state)[1].items()}))  # fmt: skip
    agree(copy.deepcopy(stack)(x, state, lengths=lengths), (y, final))
    embedding, tokens = torch.randn(9, 5, dtype=D), torch.randint(9, (6, 3))
    agree(stack.embedded(tokens, embedding, state), stack(embedding[tokens], state))
    agree(stack(tokens % 5), stack(torch.nn.functional.one_hot(tokens % 5, 5).to(D)))


def test_two_chunks_equal_the_whole(agree):
    stack = rnn.Stack([rnn.Recurrent("LSTM", 5, [3, 8], dtype=D), rnn.Recurrent("SCRN", 8, 5, sizes={"context": 3}, dtype=D)],
                      residual=True)  # fmt: skip
    x = torch.randn(7, 3, 5, dtype=D)
    whole, final = stack(x)
    first, state = stack(x[:3])
    second, last = stack(x[3:], state)
    agree((torch.cat((first, second)), last), (whole, final))


def test_a_reset_reaches_every_module(agree):
    stack = rnn.Stack([rnn.Recurrent("LSTM", 5, 3, bidirectional=True, dtype=D), rnn.Recurrent("GRU", 6, 4, dtype=D)])
    x, reset = torch.randn(7, 2, 5, dtype=D), torch.zeros(7, 2, dtype=torch.bool)
    reset[3] = True
    whole = torch.cat((stack(x[:3])[0], stack(x[3:])[0]))
    agree(stack(x, reset=reset)[0], whole)


def test_its_trace_numbers_layers_through_the_whole_stack(agree):
    stack = make()
    x, state = torch.randn(5, 3, 5, dtype=D), random_state(stack, 3)
    trace, (y, final) = stack.trace(x, state), stack(x, state)
    assert {"i_l0", "f_l1_reverse", "h_l2", "h_l3", "r_l4", "z_l4_reverse"} <= set(trace)
    agree(torch.cat((trace["h_l4"], trace["h_l4_reverse"]), -1), y)
    agree(trace["h_l3"][-1], final["h_l3"][0])
    assert stack.parameter("U_r", 4, True) is stack.layers[2].U_r_l0_reverse


def test_a_trace_in_training_is_of_one_run():
    above = rnn.Recurrent("LSTM", 7, 4, dropout=0.5, num_layers=2, dtype=D)
    stack = rnn.Stack([rnn.Recurrent(cells.GRU.with_(zoneout(h=0.5)), 5, 7, dtype=D), above])
    seen = []
    stack.layers[1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = torch.randn(9, 3, 5, dtype=D)
    torch.manual_seed(3)
    trace = stack.trace(x)
    torch.manual_seed(3)
    y, _ = stack(x)
    torch.testing.assert_close(trace["h_l0"], seen[-1])
    torch.testing.assert_close(trace["h_l2"], y)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_acts_between_modules_in_training_alone(variational, agree):
    stack = make(dropout=0.5, variational=variational, batch_first=True)
    seen = []
    stack.layers[1].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = torch.randn(40, 30, 5, dtype=D)
    stack(x)
    stack.eval()(x)
    kept = seen[0] / seen[1]
    assert set(kept.round(decimals=6).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(kept[:, :1].expand_as(kept).round(), kept.round()) == variational


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("variational", [False, True])
def test_input_dropout_acts_before_the_first_module_in_training_alone(variational, batch_first):
    stack = make(input_dropout=0.25, variational=variational, batch_first=batch_first)
    x, embedding, seen = torch.randn(40, 30, 5, dtype=D), torch.randn(9, 5, dtype=D), []
    stack.layers[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    tokens, steps = torch.randint(9, (40, 30)), int(batch_first)
    for call, whole in ((lambda: stack(x), x), (lambda: stack.embedded(tokens, embedding), embedding[tokens]),
                        (lambda: stack(tokens % 5), torch.nn.functional.one_hot(tokens % 5, 5).to(D))):  # fmt: skip
        call()
        kept = seen[-1] / whole
        assert set(kept[whole != 0].mul(3).round(decimals=6).unique().tolist()) == {0.0, 4.0}
        if whole.all():
            assert torch.equal(kept.narrow(steps, 0, 1).expand_as(kept).round(), kept.round()) == variational
    torch.testing.assert_close(stack.eval()(x)[0], rnn.Stack(list(stack.layers)).eval()(x)[0])


def test_packed_sequences_are_dropped_too():
    stack = make(input_dropout=0.5)
    x, lengths = torch.randn(6, 3, 5, dtype=D), torch.tensor([4, 6, 1])
    torch.manual_seed(3)
    y, _ = stack(x, lengths=lengths)
    torch.manual_seed(3)
    packed, _ = stack(pack_padded_sequence(x, lengths, enforce_sorted=False))
    torch.testing.assert_close(pad_packed_sequence(packed)[0], y)


def test_initial_states_of_all_modules_are_learned(agree, gradients):
    """As those of modules that were made to learn them: values, names, gradients, resets, and a second stack of them."""
    learned = rnn.Stack([rnn.Recurrent("LSTM", 5, [3, 4], bidirectional=True, dtype=D), rnn.Recurrent("GRU", 8, 6, dtype=D)],
                        learn_initial_state=True)  # fmt: skip
    made = rnn.Stack([rnn.Recurrent("LSTM", 5, [3, 4], bidirectional=True, dtype=D, learn_initial_state=True),
                      rnn.Recurrent("GRU", 8, 6, dtype=D, learn_initial_state=True)])  # fmt: skip
    assert "layers.1.initial_h_l0" in learned.state_dict() and learned.layers[0].initial_c_l1_reverse.dtype is D
    for name, parameter in learned.named_parameters():
        if "initial_" in name:
            assert not parameter.any()
            torch.nn.init.uniform_(parameter)
    made.load_state_dict(learned.state_dict())
    x, reset = torch.randn(7, 2, 5, dtype=D), torch.rand(7, 2) < 0.3
    agree(learned(x, reset=reset), made(x, reset=reset))
    by_name = [dict(stack.named_parameters()) for stack in (learned, made)]
    found, expected = (gradients(stack(x)[0], [named[name] for name in sorted(named)])
                       for stack, named in zip((learned, made), by_name, strict=True))  # fmt: skip
    agree(found, expected)
    agree(copy.deepcopy(learned)(x), made(x))
    tokens = torch.randint(5, (7, 2))
    agree(learned(tokens, reset=reset), made(tokens, reset=reset))
    learned.reset_parameters()
    assert not learned.layers[0].initial_h_l0.any() and "learn_initial_state=True" in repr(learned)


def test_it_is_compiled_and_exported(agree):
    stack = make("highway").eval()
    x = torch.randn(6, 3, 5, dtype=D)
    agree(torch.compile(stack, fullgraph=True, backend="aot_eager")(x), stack(x))
    agree(torch.export.export(stack, (x,)).module()(x), stack(x))


def test_initialize_reaches_every_module_that_has_the_name():
    stack = make("highway").initialize(U="orthogonal", b_f=1.0, b_highway=-2.0)
    for name, layer in (("U_i", 1), ("U", 3), ("U_n", 4)):
        u = stack.parameter(name, layer)
        torch.testing.assert_close(u @ u.T, torch.eye(len(u), dtype=D))
    assert (stack.parameter("b_f", 1, True) == 1).all() and (stack.b_highway_l2 == -2).all()
    stack.reset_parameters()
    assert (stack.b_highway_l2 == -1).all() and not (stack.parameter("b_f") == 1).any()


R = rnn.Recurrent
BAD = {
    "nothing": (lambda: rnn.Stack([]), RecellError, "a list of Recurrent modules"),
    "torch's module": (lambda: rnn.Stack([torch.nn.LSTM(3, 4)]), RecellError, "came LSTM at 0"),
    "widths": (lambda: rnn.Stack([R("LSTM", 3, 4), R("GRU", 5, 4)]), ShapeError, "gives 4 features, module 1 takes 5"),
    "forms": (lambda: rnn.Stack([R("LSTM", 3, 4), R("GRU", 4, 4, batch_first=True)]), RecellError, "make all modules alike"),
    "a pair": (lambda: rnn.Stack([R("LSTM", 3, 4, bidirectional=True, merge=None), R("GRU", 8, 4)]), RecellError, "a pair"),
    "an output": (lambda: rnn.Stack([R("Jordan", 3, 4, sizes={"output": 4}), R("GRU", 4, 4)]), CellError, "only be the last"),
    "residual": (lambda: rnn.Stack([R("LSTM", 3, 4), R("GRU", 4, 5)], residual=True), ShapeError, "layer 1 takes 4 and gives 5"),
    "a lone one": (lambda: rnn.Stack([R("LSTM", 3, 3, 2)], highway=True), RecellError, "came highway=True and one module"),
    "dropped twice": (lambda: rnn.Stack([R("LSTM", 3, 3, input_dropout=0.1)], input_dropout=0.2), RecellError, "out twice"),
    "a rate": (lambda: rnn.Stack([R("LSTM", 3, 3)], input_dropout=1.5), RecellError, "input_dropout is 1.5"),
    "both": (lambda: rnn.Stack([R("LSTM", 3, 3)], residual=True, highway=True), RecellError, "write one of them"),
    "a state": (lambda: make()(X, {"h_l7": X}), ShapeError, "no state 'h_l7'; its states are h_l0, c_l0"),
    "half a state": (lambda: make()(X, {"h_l0": torch.zeros(2, 3, 3)}), ShapeError, "has h_l0 and not h_l1"),
    "a state's shape": (lambda: make()(X, {"h_l4": torch.zeros(1, 3, 4)}), ShapeError, "state h_l4 is"),
    "a state's form": (lambda: make()(X, X), ShapeError, "give a dict with h_l0"),
    "a name": (lambda: make().initialize(Q=1.0), RecellError, "no cell of this stack has a parameter 'Q'"),
    "a layer": (lambda: make().parameter("U", 5), RecellError, "this stack has 5 layers"),
    "elapsed": (lambda: rnn.Stack([R("GRU", 5, 4)])(X, elapsed=X[..., 0]), ShapeError, "no cell of this stack reads elapsed"),
}
X = torch.randn(4, 3, 5, dtype=D)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_line(case):
    act, error, words = BAD[case]
    with pytest.raises(error, match=words) as caught:
        act()
    assert "\n" not in str(caught.value)


def test_a_stack_that_is_refused_leaves_its_layers_as_they_were() -> None:
    first = R("GRU", 8, 8)
    with pytest.raises(ShapeError):
        rnn.Stack([first, R("GRU", 8, 7)], residual=True, learn_initial_state=True)
    assert not first.learn_initial_state and not hasattr(first, "initial_h_l0")


@pytest.mark.parametrize(
    "given, error", [(torch.zeros(5, 2, dtype=torch.int64), CellError), (np.zeros((5, 2, 8), np.float32), ShapeError)]
)
def test_dropped_input_is_refused_alike_in_training_and_after(given: object, error: type[Exception]) -> None:
    stack = rnn.Stack([R("SRU", 8, 8)], input_dropout=0.5)
    for mode in (True, False):
        with pytest.raises(error):
            stack.train(mode)(given)
