"""ONNX's nodes, held against its published figures, against its equations in NumPy, and against ONNX Runtime."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from recell.errors import CellError, DataError, RecellError, ShapeError
from recell.nn.convert import from_onnx, onnx_outputs

PUBLISHED = Path(os.environ.get("RECELL_DATA", "missing")) / "peer_numbers" / "onnx_rnn_node_tests.json"
PEERS = json.loads(PUBLISHED.read_text(encoding="utf-8")) if PUBLISHED.is_file() else []
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def run(op, attributes, inputs):
    """Y, Y_h and Y_c of a node through `from_onnx`, as arrays."""
    weights = {name: inputs.get(name) for name in ("W", "R", "B", "P")}
    module = from_onnx({"op_type": op, **attributes}, weights, dtype=torch.tensor(inputs["X"]).dtype)
    state = {name[-1]: torch.tensor(inputs[name]) for name in ("initial_h", "initial_c") if name in inputs}
    if attributes.get("layout"):
        state = {name: s.transpose(0, 1) for name, s in state.items()}
    lengths = torch.tensor(inputs["sequence_lens"]) if "sequence_lens" in inputs else None
    y, state = module(torch.tensor(inputs["X"]), state or None, lengths=lengths)
    return dict(zip(("Y", "Y_h", "Y_c"), (t.detach().numpy() for t in onnx_outputs(module, y, state)), strict=False))


@pytest.mark.skipif(not PEERS, reason="RECELL_DATA has ONNX's published figures")
@pytest.mark.parametrize("case", PEERS, ids=lambda case: case["name"])
def test_onnx_node_tests(case):
    inputs = {name: np.array(v["data"], v["dtype"]).reshape(v["shape"]) for name, v in case["inputs"].items()}
    found = run(case["op"], case["attributes"], inputs)
    assert case["outputs"]
    for name, expected in case["outputs"].items():
        expected = np.array(expected["data"]).reshape(expected["shape"])
        assert found[name].shape == expected.shape
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)


# -- ONNX's equations, every weight another number -----------------------------------------------------------------
def sigmoid(v):
    return 1 / (1 + np.exp(-v))


NUMPY = {
    "Relu": lambda v: np.maximum(v, 0), "Tanh": np.tanh, "Sigmoid": sigmoid, "Softsign": lambda v: v / (1 + np.abs(v)),
    "Softplus": lambda v: np.log1p(np.exp(v)), "LeakyRelu": lambda v, a=0.01: np.where(v < 0, a * v, v),
    "Elu": lambda v, a=1.0: np.where(v < 0, a * np.expm1(v), v), "Affine": lambda v, a, b: a * v + b,
    "HardSigmoid": lambda v, a=0.2, b=0.5: np.clip(a * v + b, 0, 1), "ScaledTanh": lambda v, a, b: a * np.tanh(b * v),
}  # fmt: skip
DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}


def functions(op, attributes):
    """f, g, h of one direction; every function with numbers takes the next ones."""
    alphas, betas = (list(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
    made = []
    for name in (attributes.get("activations") or DEFAULTS[op])[: len(DEFAULTS[op])]:
        numbers = {"LeakyRelu": 1, "Elu": 1, "HardSigmoid": 2, "Affine": 2, "ScaledTanh": 2}.get(name, 0)
        taken = [given.pop(0) for given in (alphas, betas)[:numbers] if given]
        made.append(lambda v, function=NUMPY[name], taken=taken: function(v, *taken))
    return made


def step(op, attributes, w, r, bias, p, x, h, c):
    """One step of one direction as docs/Operators.md writes it."""
    wb, rb = np.split(bias, 2)
    own, gates = functions(op, attributes), GATES[op]
    if op == "RNN":
        return own[0](x @ w.T + h @ r.T + wb + rb), c
    if op == "GRU":
        f, g = own
        (wz, wr, wh), (rz, rr, rh) = np.split(w, gates), np.split(r, gates)
        (bz, br, bh), (sz, sr, sh) = np.split(wb, gates), np.split(rb, gates)
        z, reset = f(x @ wz.T + h @ rz.T + bz + sz), f(x @ wr.T + h @ rr.T + br + sr)
        inner = reset * (h @ rh.T + sh) if attributes.get("linear_before_reset") else (reset * h) @ rh.T + sh
        return (1 - z) * g(x @ wh.T + inner + bh) + z * h, c
    f, g, last = own
    i, o, forget, cell = np.split(x @ w.T + h @ r.T + wb + rb, gates, -1)
    pi, po, pf = np.split(p, 3)
    i = f(i + pi * c)
    forget = 1 - i if attributes.get("input_forget") else f(forget + pf * c)
    c = forget * c + i * g(cell)
    return f(o + po * c) * last(c), c


def expected_outputs(op, attributes, inputs):
    """Y (T, directions, N, H), Y_h and Y_c (directions, N, H)."""
    x, lengths = inputs["X"], inputs["sequence_lens"]
    reversed_ = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[attributes.get("direction", "forward")]
    hidden = inputs["R"].shape[-1]
    y = np.zeros((len(x), len(reversed_), x.shape[1], hidden))
    final = [inputs[f"initial_{name}"].copy() for name in "hc"]
    for d, backwards in enumerate(reversed_):
        p = inputs["P"][d] if "P" in inputs else np.zeros(3 * hidden)
        for n, length in enumerate(lengths):
            h, c = final[0][d, n], final[1][d, n]
            for t in range(length)[:: -1 if backwards else 1]:
                h, c = step(op, attributes, inputs["W"][d], inputs["R"][d], inputs["B"][d], p, x[t, n], h, c)
                y[t, d, n] = h
            final[0][d, n], final[1][d, n] = h, c
    return {"Y": y, "Y_h": final[0], **({"Y_c": final[1]} if op == "LSTM" else {})}


def drawn(op, attributes, peepholes=False):
    generator, hidden, gates = np.random.default_rng(11), 5, GATES[op]
    count = 2 if attributes.get("direction") == "bidirectional" else 1
    shapes = {"X": (6, 4, 3), "W": (count, gates * hidden, 3), "R": (count, gates * hidden, hidden),
              "B": (count, 2 * gates * hidden), "initial_h": (count, 4, hidden), "initial_c": (count, 4, hidden)}  # fmt: skip
    shapes |= {"P": (count, 3 * hidden)} if peepholes else {}
    return {name: generator.normal(size=shape) for name, shape in shapes.items()} | {
        "sequence_lens": np.array([6, 2, 5, 6], np.int32)
    }


CASES = [
    ("RNN", {}, False),
    ("RNN", {"direction": "reverse", "activations": ["ScaledTanh"], "activation_alpha": [1.3], "activation_beta": [0.4]}, False),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.6], "activation_beta": [0.2]}, False),
    ("RNN", {"direction": "bidirectional", "activations": ["Elu", "Elu"], "activation_alpha": [0.7, 0.7]}, False),
    ("GRU", {"direction": "bidirectional"}, False),
    ("GRU", {"linear_before_reset": 1, "direction": "reverse"}, False),
    ("GRU", {"activations": ["HardSigmoid", "Softsign"], "activation_alpha": [0.3], "activation_beta": [0.4]}, False),
    ("LSTM", {"direction": "bidirectional"}, True),
    ("LSTM", {"direction": "reverse"}, False),
    ("LSTM", {"input_forget": 1}, False),
    ("LSTM", {"activations": ["HardSigmoid", "LeakyRelu", "Softplus"], "activation_alpha": [0.2, 0.1]}, True),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "peepholes"), CASES, ids=str)
def test_a_node_computes_onnx_equations(op, attributes, peepholes):
    inputs = drawn(op, attributes, peepholes)
    given = {name: v for name, v in inputs.items() if op == "LSTM" or name != "initial_c"}
    expected, found = expected_outputs(op, attributes, inputs), run(op, attributes, given)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-12)
    batch_first = {name: np.swapaxes(v, 0, 1) if name in ("X", "initial_h", "initial_c") else v for name, v in given.items()}
    found = run(op, {**attributes, "layout": 1}, batch_first)
    np.testing.assert_allclose(found["Y"], expected["Y"].transpose(2, 0, 1, 3), atol=1e-12)
    np.testing.assert_allclose(found["Y_h"], expected["Y_h"].swapaxes(0, 1), atol=1e-12)


@pytest.mark.parametrize(("op", "attributes", "peepholes"), CASES, ids=str)
def test_a_node_computes_what_onnx_runtime_computes(op, attributes, peepholes):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    names = ["X", "W", "R", "B", "sequence_lens", "initial_h"] + (["initial_c"] if op == "LSTM" else []) + ["P"] * peepholes
    given = {name: v if v.dtype == np.int32 else v.astype(np.float32) for name, v in drawn(op, attributes, peepholes).items()}
    given = {name: given[name] for name in names}
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = onnx.helper.make_node(op, names, outputs, hidden_size=5, **attributes)
    kinds = {name: onnx.TensorProto.INT32 if name == "sequence_lens" else onnx.TensorProto.FLOAT for name in given}
    graph = onnx.helper.make_graph(
        [node], "one", [onnx.helper.make_tensor_value_info(name, kinds[name], v.shape) for name, v in given.items()],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs])  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = run(op, attributes, given)
    for name, expected in zip(outputs, session.run(outputs, given), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)


def node(op="GRU", weights=None, **attributes):
    gates = GATES.get(op, 1)
    return from_onnx(
        {"op_type": op, **attributes}, {"W": np.ones((1, 2 * gates, 3)), "R": np.ones((1, 2 * gates, 2)), **(weights or {})}
    )


def test_the_dtype_is_torchs_default_unless_told():
    assert {p.dtype for p in node().parameters()} == {torch.float32}  # from weights in float64
    weights = {"W": np.ones((1, 6, 3), np.float32), "R": np.ones((1, 6, 2), np.float32)}
    told = from_onnx({"op_type": "GRU"}, weights, dtype=torch.float64)
    assert {p.dtype for p in told.parameters()} == {torch.float64}


REFUSED = [
    (lambda: from_onnx({"hidden_size": 2}, {}), DataError, "no op_type; came .'hidden_size'.; write"),
    (lambda: node("Gru"), CellError, "no recurrent ONNX op"),
    (lambda: node(clip=3.0), CellError, "clip is not supported.*came 3.0"),
    (lambda: node(linear_before=1), DataError, "attribute of ONNX's GRU"),
    (lambda: node("RNN", linear_before_reset=1), DataError, "attribute of ONNX's RNN"),
    (lambda: node(direction="backward"), DataError, "no direction"),
    (lambda: node(layout=2), DataError, "layout is 0"),
    (lambda: node(activations=["Sigmoid"]), DataError, "GRU has 2 activations"),
    (lambda: node(activations=["Sigmoid", "ThresholdedRelu"]), CellError, "ONNX activation.*'ThresholdedRelu'"),
    (lambda: node(activation_alpha=[1.0]), DataError, "take fewer numbers"),
    (lambda: node(hidden_size=3), ShapeError, "came hidden_size=3"),
    (lambda: node(weights={"B": np.ones((1, 6))}), ShapeError, "B has the wrong shape"),
    (lambda: node(weights={"P": np.ones((1, 6))}), DataError, "GRU's weights are W, R, B; came P"),
    (lambda: node("LSTM", {"P": np.ones((1, 6))}, input_forget=1), CellError, "both input_forget and peepholes"),
    (lambda: from_onnx({"op_type": "RNN"}, {"W": np.ones((1, 2, 3))}), DataError, "weights have no R"),
    (lambda: node("RNN", {"W": np.ones((2, 2, 3)), "R": np.ones((2, 2, 2))}, direction="bidirectional",
                  activations=["Tanh", "Relu"]), CellError, "both directions have the same activations"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "line"), REFUSED, ids=lambda part: part if isinstance(part, str) else "")
def test_what_is_not_computed_is_refused_by_name(call, error, line):
    with pytest.raises(RecellError, match=line) as caught:
        call()
    assert type(caught.value) is error and "\n" not in str(caught.value)
