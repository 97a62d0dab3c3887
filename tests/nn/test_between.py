"""Laws of what acts between layers: residual and highway connections, sizes of each layer's own, dropout of inputs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import recell.nn as rnn
from recell import cell, dropout, exp, sigmoid, tanh
from recell.errors import CellError, DataError, ShapeError
from recell.nn import between

D = torch.float64
CARRIED = ("residual", "highway")
# Ways of making a stack of three layers; every connection is tried in each.
FORMS = {
    "one direction": {},
    "reverse": {"reverse": True},
    "concat": {"bidirectional": True},
    "ave": {"bidirectional": True, "merge": "ave"},
    "mul": {"bidirectional": True, "merge": "mul"},
}


@cell(output=("o", "h"))
def Pair(p, x, h, n, dt):
    """A local and a state for an output, and elapsed time."""
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    o = tanh(p.W_o @ x + p.U_o @ n)
    n = g * n * exp(-dt) + (1 - g) * o
    h = tanh(n + p.U_h @ h)
    return h, n


@cell
def Coins(p, x, h):
    return tanh(p.W @ x + p.U @ dropout(h, 0.5) + p.b)


def make(cell, hidden=7, num_layers=3, **options):
    module = rnn.Recurrent(cell, 5, hidden, num_layers, **{"dtype": D, **options})
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(("initial_", "b_highway")):
                parameter.uniform_(-1, 1)
    return module


def layers_of(module):
    """Each layer as a module of its own, with copies of its parameters."""
    options = {name: getattr(module, name) for name in ("bidirectional", "merge", "reverse", "learn_initial_state", "backend")}
    made = []
    for number, (runner, hidden) in enumerate(zip(module._runners, module.hidden_sizes, strict=True)):
        layer = rnn.Recurrent(module.cell, runner.sizes["input"], hidden, **options, sizes=module._sizes, dtype=D)
        own = {n.replace(f"_l{number}", "_l0"): p for n, p in module.state_dict().items() if f"_l{number}" in n}
        layer.load_state_dict({n: p for n, p in own.items() if "highway" not in n})
        made.append(layer)
    return made


def by_hand(module, x, **streams):
    """The definition: layer after layer, each carrying its input past itself from the second on."""
    finals = []
    for number, layer in enumerate(layers_of(module)):
        y, final = layer(x, **streams)
        if number and module.residual:
            y = y + x
        if number and module.highway:
            weight, bias = getattr(module, f"W_highway_l{number}"), getattr(module, f"b_highway_l{number}")
            gate = 1 / (1 + torch.exp(-(x @ weight.T + bias)))
            y = gate * y + (1 - gate) * x
        x = y
        finals.append(final)
    return x, {name: [final[name] for final in finals] for name in finals[0]}


def streams_of(module, x, **more):
    found = {"lengths": [2, 6, 0, 5], "mask": torch.rand(x.shape[:2]) < 0.8, **more}
    if not module.learn_initial_state:
        found["reset"] = torch.rand(x.shape[:2]) < 0.2
    if module.cell.uses_elapsed:
        found["elapsed"] = torch.rand(x.shape[:2], dtype=D)
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("carried", [*CARRIED, None])
@pytest.mark.parametrize("kind", ["LSTM", Pair])
def test_layers_carry_their_input_as_defined(kind, carried, form, agree):
    """With lengths, a mask, resets and elapsed time; the first layer's input is as wide as the others' or not."""
    module = make(kind, **FORMS[form], **({carried: True} if carried else {}))
    x = torch.randn(6, 4, 5, dtype=D)
    streams = streams_of(module, x)
    y, final = module(x, **streams)
    expected, states = by_hand(module, x, **streams)
    agree((y, final), (expected, {name: torch.cat(parts) for name, parts in states.items()}))


@pytest.mark.parametrize("carried", CARRIED)
def test_gradients_flow_through_every_connection(carried, agree, gradients):
    module = make("GRU", bidirectional=True, learn_initial_state=True, **{carried: True})
    reference = make("GRU", bidirectional=True, learn_initial_state=True, backend="reference", **{carried: True})
    reference.load_state_dict(module.state_dict())
    x = torch.randn(6, 4, 5, dtype=D, requires_grad=True)
    streams = streams_of(module, x)
    inputs = [x, *module.parameters()], [x, *reference.parameters()]
    agree(gradients(module(x, **streams), inputs[0]), gradients(reference(x, **streams), inputs[1]))
    assert all(bool(g.abs().sum() > 0) for g in gradients(module(x, **streams), inputs[0]))
    torch.autograd.gradcheck(lambda x: module(x)[0], (x[:3, :2].detach().requires_grad_(),))


def test_a_shut_gate_hands_the_input_on_and_an_open_one_the_output(agree):
    module = make("GRU", highway=True, num_layers=2)
    x = torch.randn(4, 3, 5, dtype=D)
    first, second = layers_of(module)
    below = first(x)[0]
    for bias, expected in ((-800.0, below), (800.0, second(below)[0])):
        agree(module.initialize(b_highway=bias)(x)[0], expected)


def test_a_highway_starts_by_carrying_its_input():
    module = rnn.Recurrent("LSTM", 5, 100, 3, highway=True, bidirectional=True)
    assert [n for n in dict(module.named_parameters()) if "highway" in n] == [
        f"{name}_highway_l{layer}" for layer in (1, 2) for name in "Wb"
    ]
    assert module.W_highway_l1.shape == (200, 200) and module.W_highway_l1.abs().max() <= 200**-0.5
    assert (module.b_highway_l2 == -1).all()
    module.initialize(W_highway="orthogonal", b_highway=-3.0)
    torch.testing.assert_close(module.W_highway_l2 @ module.W_highway_l2.T, torch.eye(200))
    assert (module.b_highway_l1 == -3).all()
    module.reset_parameters()
    assert (module.b_highway_l1 == -1).all()


SIZES = {"narrower": (9, 4, 6), "first the narrowest": (3, 8, 8), "in the middle": (4, 11, 4)}


@pytest.mark.parametrize("hidden", SIZES)
@pytest.mark.parametrize("form", FORMS)
def test_layers_may_have_sizes_of_their_own(hidden, form, agree):
    """The state is as wide as the widest layer, zeros beyond a narrower one's size."""
    hidden = SIZES[hidden]
    module = make("LSTM", list(hidden), 1, **FORMS[form])
    x = torch.randn(6, 4, 5, dtype=D)
    streams = streams_of(module, x)
    y, final = module(x, **streams)
    expected, states = by_hand(module, x, **streams)
    padded = {n: torch.cat([torch.nn.functional.pad(s, (0, max(hidden) - s.shape[2])) for s in states[n]]) for n in "hc"}
    agree((y, final), (expected, padded))
    (first, state), whole = module(x[:2]), module(x)
    if not module.reverse and not module.bidirectional:
        rest, last = module(x[2:], state)
        agree((torch.cat((first, rest)), last), whole)
    assert module.hidden_size == hidden and module.num_layers == 3
    assert module.extra_repr().startswith(f"LSTM, 5, {hidden}" + (", merge" if module.merge != "concat" else ""))


def test_learned_initial_states_have_their_layers_sizes(agree):
    module = make("LSTM", [4, 6], 1, bidirectional=True, learn_initial_state=True)
    assert module.initial_h_l0.shape == (4,) and module.initial_c_l1_reverse.shape == (6,)
    x = torch.randn(6, 4, 5, dtype=D)
    suffixes = ("l0", "l0_reverse", "l1", "l1_reverse")
    state = {n: torch.zeros(4, 4, 6, dtype=D) for n in "hc"}
    for name in "hc":
        for place, suffix in enumerate(suffixes):
            value = getattr(module, f"initial_{name}_{suffix}").detach()
            state[name][place, :, : len(value)] = value
    agree(module(x, lengths=[6, 0, 2, 3]), module(x, state, lengths=[6, 0, 2, 3]))


@pytest.mark.parametrize("variational", [False, True])
def test_input_dropout_keeps_and_scales_units_of_x_in_training_alone(variational, agree):
    module = make("Elman", num_layers=1, input_dropout=0.25, variational=variational)
    seen, runner = [], module._runners[0]
    runner.all = lambda x, *rest: seen.append(x) or type(runner).all(runner, x, *rest)
    x = torch.randn(400, 8, 5, dtype=D)
    module(x)
    kept = seen[0] / x
    assert set(kept.round(decimals=9).unique().tolist()) == {0.0, round(4 / 3, 9)}
    if variational:
        agree(kept, kept[:1].expand_as(kept))
        assert 0 < int((kept[0] == 0).sum()) < kept[0].numel()
    else:
        assert abs(float((kept == 0).double().mean()) - 0.25) < 0.02
    module.eval()(x)
    assert torch.equal(seen[1], x)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_draws_from_torchs_generator(variational):
    module = make("GRU", dropout=0.4, input_dropout=0.3, variational=variational, highway=True)
    x = torch.randn(5, 3, 5, dtype=D)
    torch.manual_seed(3)
    first = module(x)[0]
    assert not torch.equal(first, module(x)[0])
    torch.manual_seed(3)
    assert torch.equal(first, module(x)[0])
    assert torch.equal(module.eval()(x)[0], module(x)[0])


@pytest.mark.parametrize("kind", ["GRU", Coins])
def test_a_mask_for_all_steps_stays_with_its_row(kind, agree):
    """Rows are sorted by length inside; what is dropped of each is what would be without."""
    module = make(kind, dropout=0.4, input_dropout=0.3, variational=True)
    x, lengths = torch.randn(6, 4, 5, dtype=D), torch.tensor([2, 6, 3, 5])
    torch.manual_seed(3)
    whole = module(x)[0]
    torch.manual_seed(3)
    agree(module(x, lengths=lengths)[0], whole * (torch.arange(6)[:, None] < lengths)[..., None])
    torch.manual_seed(3)
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    agree(pad_packed_sequence(module(packed)[0])[0], whole * (torch.arange(6)[:, None] < lengths)[..., None])


@pytest.mark.parametrize("batch_first", [False, True])
def test_one_hot_tokens_are_dropped_as_their_vectors_are(batch_first, agree, gradients):
    """A symbol that is dropped in a row is dropped wherever it stands in the row."""
    module = make("LSTM", input_dropout=0.4, variational=True, bidirectional=True, batch_first=batch_first)
    tokens = torch.randint(5, (4, 6) if batch_first else (6, 4))
    options = {"lengths": [2, 6, 0, 5]}
    torch.manual_seed(3)
    found = module(tokens, **options)
    torch.manual_seed(3)
    expected = module(one_hot(tokens, 5).to(D), **options)
    agree(found, expected)
    agree(gradients(found, module.parameters(), retain=True), gradients(expected, module.parameters()))


def test_a_dropped_token_has_no_products():
    products, tokens = torch.ones(300, 7, 3, dtype=D), torch.randint(5, (300, 7))
    kept = between.drop_symbols(products, tokens, 5, 0.2, variational=False)
    assert kept.unique().tolist() == pytest.approx([0.0, 1.25], rel=1e-5) and torch.equal(kept[..., 0], kept[..., 2])
    assert abs(float((kept == 0).double().mean()) - 0.2) < 0.05


def test_an_embedding_is_dropped_as_x_is(agree):
    module = make("LSTM", input_dropout=0.4, highway=True)
    embedding, tokens = torch.randn(11, 5, dtype=D), torch.randint(11, (6, 4))
    torch.manual_seed(3)
    found = module.embedded(tokens, embedding)
    torch.manual_seed(3)
    agree(found, module(embedding[tokens]))
    module.eval()
    agree(module.embedded(tokens, embedding), module(embedding[tokens]))


OPTIONS = {
    "residual": {"residual": True, "bidirectional": True, "merge": "sum"},
    "highway": {"highway": True, "bidirectional": True, "learn_initial_state": True},
    "sizes": {"hidden": [4, 9], "num_layers": 1, "learn_initial_state": True},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_every_form_of_a_batch_gives_the_same(options, agree):
    module = make("LSTM", **{"num_layers": 2, **OPTIONS[options]})
    swapped = make("LSTM", **{"num_layers": 2, **OPTIONS[options]}, batch_first=True)
    swapped.load_state_dict(module.state_dict())
    x, lengths = torch.randn(6, 3, 5, dtype=D), torch.tensor([4, 6, 1])
    y, state = module(x, lengths=lengths)
    agree(swapped(x.transpose(0, 1), lengths=lengths), (y.transpose(0, 1), state))
    packed, final = module(pack_padded_sequence(x, lengths, enforce_sorted=False))
    agree((pad_packed_sequence(packed)[0], final), (y, state))
    agree(module(x[:, 1]), (y[:, 1], {k: v[:, 1] for k, v in state.items()}))
    agree(copy.deepcopy(module)(x, lengths=lengths), (y, state))
    trace = module.trace(x, lengths=lengths)
    width = module.hidden_sizes[-1]
    agree(trace["h_l1"][-1, 1], state["h"][2 if module.bidirectional else 1, 1, :width])
    agree(module.embedded(torch.arange(6)[:, None], x[:, 0]), module(x[:, :1]))


@pytest.mark.parametrize("options", OPTIONS)
def test_compiled_and_exported_it_is_the_same(options, agree):
    module = make("LSTM", **{"num_layers": 2, **OPTIONS[options]}).eval()
    x = torch.randn(6, 3, 5, dtype=D)
    agree(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))
    agree(torch.export.export(module, (x,)).module()(x), module(x))
    module.train()
    module.input_dropout = module.dropout = 0.25
    torch._dynamo.reset()
    for variational in (False, True):
        module.variational = variational
        torch.manual_seed(3)
        found = torch.compile(module, fullgraph=True, backend="aot_eager")(x)
        torch.manual_seed(3)
        agree(found, module(x))


BAD = [
    (DataError, {"residual": True, "highway": True}, "residual=True and highway=True"),
    (DataError, {"highway": True, "merge": None, "bidirectional": True}, "highway=True needs one output"),
    (DataError, {"residual": True, "num_layers": 1}, "residual=True and one layer; write two layers or more, or residual=False"),
    (DataError, {"highway": True, "hidden_size": [7], "num_layers": 1}, "came highway=True and one layer"),
    (DataError, {"input_dropout": 1.5}, "input_dropout is 1.5"),
    (DataError, {"input_dropout": True}, "input_dropout is True"),
    (ShapeError, {"hidden_size": [7, 8], "num_layers": 1, "highway": True}, "layer 1 takes 7 and gives 8"),
    (ShapeError, {"hidden_size": [7, 8], "num_layers": 1, "residual": True}, "residual=True adds a layer's input"),
    (ShapeError, {"hidden_size": [7, 8, 9], "num_layers": 2}, "num_layers=2"),
    (ShapeError, {"hidden_size": [], "num_layers": 1}, "a list of hidden sizes has one for each layer"),
    (ShapeError, {"hidden_size": [7, 0], "num_layers": 1}, "came 0"),
    (CellError, {"cell": "Jordan", "hidden_size": [7, 7], "num_layers": 1, "sizes": {"output": 7}}, "last layer"),
]


@pytest.mark.parametrize(("error", "options", "words"), BAD)
def test_bad_options_get_one_clear_line(error, options, words):
    with pytest.raises(error, match=words) as caught:
        rnn.Recurrent(**{"cell": "LSTM", "input_size": 5, "hidden_size": 7, "num_layers": 2, **options})
    assert "\n" not in str(caught.value)


def test_torch_has_no_module_for_what_acts_between_layers():
    for options in ({"highway": True}, {"input_dropout": 0.1}, {"hidden_size": [7, 8], "num_layers": 1}):
        module = rnn.Recurrent(**{"cell": "LSTM", "input_size": 5, "hidden_size": 7, "num_layers": 2, **options})
        with pytest.raises(CellError, match="torch.nn has no module"):
            rnn.convert.to_torch(module)
