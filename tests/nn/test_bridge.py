"""The bridge between kernels and torch: dtypes, devices, memory of every kind, threads, and every way that weights change."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves

import recell.nn as rnn
from recell.errors import RecellError, ShapeError
from tests.nn.helper import Coins, D, small


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_writes_to_data_between_calls_are_seen(name, agree):
    module, x = small(name), torch.randn(5, 2, 2, dtype=D)
    module(x)
    for parameter in module.parameters():
        parameter.data.mul_(-1.5)
    reference = small(name, backend="reference")
    reference.load_state_dict(module.state_dict())
    agree(module(x), reference(x))


def test_fused_optimizer_steps_are_seen(agree, gradients):
    module, x = small("LSTM", dtype=torch.float32), torch.randn(5, 2, 2)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        module(x)[0].square().sum().backward()
        optimizer.step()
    reference = small("LSTM", dtype=torch.float32, backend="reference")
    reference.load_state_dict(module.state_dict())
    agree(module(x), reference(x))
    agree(gradients(module(x), module.parameters()), gradients(reference(x), reference.parameters()))


def test_views_and_strides_of_every_kind(agree, gradients):
    module = small()
    x = torch.randn(2, 2, 5, dtype=D, requires_grad=True)
    h = torch.randn(3, 2, 1, dtype=D)
    with torch.no_grad():
        module.U_r_l0.set_(module.U_r_l0.T.contiguous().T)
    assert not module.U_r_l0.is_contiguous()
    found = module(x.permute(2, 0, 1), {"h": h.permute(2, 1, 0)})
    expected = module(x.permute(2, 0, 1).contiguous(), {"h": h.permute(2, 1, 0).contiguous()})
    agree(found, expected)
    expanded = torch.autograd.grad(found[0].sum(), x, retain_graph=True)  # a gradient of ones with strides of 0
    whole = (expected[0] * torch.ones(5, 2, 3, dtype=D)).sum()
    agree(expanded, torch.autograd.grad(whole, x, retain_graph=True))
    agree(gradients(found, [x, *module.parameters()]), gradients(expected, [x, *module.parameters()]))


def test_autocast_casts_to_the_weights_dtype_and_rounds_products_alone():
    module = small(dtype=torch.float32)
    x = torch.randn(5, 2, 2)
    with torch.autocast("cpu"):
        y, _ = module(x.bfloat16(), {"h": torch.zeros(1, 2, 3, dtype=torch.bfloat16)})
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, module(x.bfloat16().float())[0], rtol=1e-2, atol=1e-2)  # products are bf16's
    y.sum().backward()


def test_other_dtypes_run_eager_and_are_refused_by_the_kernels(agree):
    module = small(dtype=torch.bfloat16)
    y, _ = module(torch.randn(5, 2, 2, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    with pytest.raises(ShapeError, match="backend 'cpu' runs float32 and float64 .* bfloat16"):
        small(dtype=torch.bfloat16, backend="cpu")(torch.randn(5, 2, 2, dtype=torch.bfloat16))


def test_calls_from_many_threads_do_not_meet(agree):
    module, xs = small("LSTM", num_layers=2, bidirectional=True), torch.randn(4, 5, 2, 2, dtype=D)

    def run(x):
        x = x.clone().requires_grad_()
        y, state = module(x)
        return [y, state, torch.autograd.grad(y.square().sum(), [x, *module.parameters()])]

    expected = [run(x) for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            agree(list(pool.map(run, xs)), expected)


def test_a_sign_that_torch_has_not_written_yet_is_read(agree, gradients):
    module = small()
    x = torch.randn(5, 2, 2, dtype=D)
    negated = torch._neg_view(x)
    assert negated.is_neg()
    agree(module(negated), module(-x))
    y, _ = module(x)
    agree(
        torch.autograd.grad(y, module.U_r_l0, torch._neg_view(torch.ones_like(y)), retain_graph=True),
        torch.autograd.grad(y, module.U_r_l0, -torch.ones_like(y)),
    )


META = {
    "one layer": (lambda **o: rnn.Recurrent("LSTM", 5, 7, **o), {}),
    "layers and directions": (lambda **o: rnn.Recurrent(Coins, 5, 7, 2, bidirectional=True, merge="sum", **o), {}),
    "drop-in": (lambda **o: rnn.LSTM(5, 7, 2, proj_size=3, **o), {}),
    "lengths": (lambda **o: rnn.GRU(5, 7, **o), {"lengths": [4, 1, 2]}),
    "streams": (lambda **o: rnn.GRU(5, 7, **o), {"mask": torch.ones(4, 3).bool(), "reset": torch.zeros(4, 3).bool()}),
    "torch's operators": (lambda **o: rnn.GRU(5, 7, backend="eager", **o), {}),
}


@pytest.mark.parametrize("case", META)
def test_the_meta_device_has_every_shape_and_no_value(case):
    make, options = META[case]
    results = []
    for device in ("cpu", "meta"):
        module, x = make(device=device), torch.ones(4, 3, 5, device=device, requires_grad=True)
        given = {name: s.to(device) if isinstance(s, torch.Tensor) else s for name, s in options.items()}
        y, states = module(x, **given)
        states = list(states.values()) if isinstance(states, dict) else list(states) if isinstance(states, tuple) else [states]
        y.sum().backward()
        made = [y, *states, x.grad, *(p.grad for p in module.parameters())]
        made += module.trace(x, **given).values() if not options else []
        results.append([(tuple(t.shape), t.dtype) for t in made])
        assert {t.device.type for t in made} == {device}
    assert results[0] == results[1]


def test_the_meta_device_takes_tokens_and_single_steps():
    assert rnn.Recurrent("LSTM", 5, 7, device="meta")(torch.zeros(4, 3, dtype=torch.int64, device="meta"))[0].shape == (4, 3, 7)
    assert rnn.LSTMCell(5, 7, device="meta")(torch.zeros(3, 5, device="meta"))[1].shape == (3, 7)


FAKE = {
    **META,
    "tokens": (lambda **o: rnn.Recurrent("LSTM", 5, 7, **o), {"x": torch.tensor([[1, 0, 4], [2, 3, 1]])}),
    "coins": (lambda **o: rnn.Recurrent(Coins, 5, 7, **o), {}),
}


@pytest.mark.parametrize("case", FAKE)
def test_fake_tensors_have_every_shape_and_no_value(case):
    make, options = FAKE[case]
    results = []
    fake = FakeTensorMode()
    for mode, entered in ((contextlib.nullcontext(), lambda tensor: tensor), (fake, fake.from_tensor)):
        given = {name: entered(s) if isinstance(s, torch.Tensor) else s for name, s in options.items()}
        with mode:
            module, x = make(), given.pop("x", None)
            x = torch.ones(4, 3, 5, requires_grad=True) if x is None else x
            y, states = module(x, **given)
            states = tree_leaves(states)
            y.sum().backward()
            made = [y, *states, *(p.grad for p in module.parameters())]
            results.append([(tuple(t.shape), t.dtype, t.device) for t in made])
    assert results[0] == results[1]
    assert all(isinstance(t, FakeTensor) for t in made)


def test_fake_tensors_are_known_outside_their_mode_and_in_single_steps():
    with FakeTensorMode():
        cell, module, x = rnn.LSTMCell(5, 7), rnn.Recurrent("SCRN", 5, 7), torch.zeros(4, 3, 5)
        assert cell(x[0])[1].shape == (3, 7)
    y = module(x)[0]
    assert y.shape == (4, 3, 47) and isinstance(y, FakeTensor)


@pytest.mark.parametrize("make", [rnn.LSTM, rnn.GRU, lambda *s, **o: rnn.Recurrent("SCRN", *s, **o)])
@pytest.mark.parametrize("tracing", ["real", "symbolic"])
def test_make_fx_records_one_operator(make, tracing, agree):
    module, x = make(5, 7, batch_first=True, dtype=D), torch.randn(3, 4, 5, dtype=D)
    own = dict(module.named_parameters())

    def run(own, x, lengths):
        return functional_call(module, own, (x,), {"lengths": lengths})[0]

    traced = make_fx(run, tracing_mode=tracing)(own, x, torch.tensor([2, 4, 0]))
    assert [str(node.target) for node in traced.graph.nodes].count("recell.forward.default") == 1
    lengths = torch.tensor([4, 1, 3])
    agree(traced(own, 2 * x, lengths), module(2 * x, lengths=lengths)[0])


def test_make_fx_of_a_gradient_records_operators_of_torch(agree):
    module, x = rnn.GRU(5, 7, dtype=D), torch.randn(4, 3, 5, dtype=D)
    own = {name: p.detach() for name, p in module.named_parameters()}
    slope = torch.func.grad(lambda x: functional_call(module, own, (x,))[0].square().sum())
    agree(make_fx(slope)(x)(0.5 * x), slope(0.5 * x))


@pytest.mark.parametrize("module", [rnn.Recurrent("LSTM", 5, 7, device="meta"), rnn.Recurrent("LSTM", 5, 7)])
def test_a_tensor_elsewhere_than_on_the_meta_device_is_refused(module):
    other = "cpu" if next(module.parameters()).is_meta else "meta"
    with pytest.raises(ShapeError, match=r"module.to_empty\(device='cpu'\)" if other == "cpu" else "x on the device 'cpu'"):
        module(torch.zeros(4, 3, 5, device=other))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("make", [rnn.LSTM, rnn.GRUCell, lambda *s, **o: rnn.Recurrent("SCRN", *s, **o)])
def test_jit_trace_is_refused_in_one_line_or_records_operators(make):
    x = torch.randn(4, 3, 5) if make is not rnn.GRUCell else torch.randn(3, 5)
    with pytest.raises(RecellError, match="torch.jit.trace .* torch.export"):
        torch.jit.trace(make(5, 7), (x,), strict=False)
    module = make(5, 7, backend="eager")
    traced = torch.jit.trace(module, (x,), strict=False)(x)
    agree(traced, module(x))


def agree(found, expected):
    found, expected = ([*v.values()] if isinstance(v, dict) else v for v in (found, expected))
    if isinstance(found, torch.Tensor):
        torch.testing.assert_close(found, expected)
    else:
        for a, b in zip(found, expected, strict=True):
            agree(a, b)
