"""Every way that torch takes a derivative of a kernel, and how long the stash lives."""

from __future__ import annotations

import gc

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint

import recell.nn as rnn
from recell.errors import RecellError
from recell.nn import derivatives
from tests.nn.helper import Coins, D, small


def as_function(module):
    """(x, h, *parameters) -> (y, h): what gradcheck can differentiate in everything."""
    names = [name for name, _ in module.named_parameters()]

    def run(x, h, *parameters):
        y, state = torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x, {"h": h}))
        return y, state["h"]

    return run


@pytest.mark.parametrize("reverse", [False, True])
def test_first_and_second_derivatives_equal_central_differences(reverse):
    module = small(reverse=reverse)
    inputs = [torch.randn(3, 2, 2, dtype=D), torch.randn(1, 2, 3, dtype=D), *module.parameters()]
    inputs = [t.detach().requires_grad_() for t in inputs]
    assert torch.autograd.gradcheck(as_function(module), inputs)
    assert torch.autograd.gradgradcheck(as_function(module), inputs)


def test_the_second_derivative_keeps_to_each_inputs_own_path():
    module = small()
    x = torch.randn(3, 2, 2, dtype=D, requires_grad=True)

    def run(x):  # the initial state is itself computed from x
        return module(x, {"h": x[:1].sum(-1, keepdim=True).expand(1, 2, 3)})[0]

    assert torch.autograd.gradcheck(run, x)
    assert torch.autograd.gradgradcheck(run, x)


def test_a_second_backward_pass_over_the_same_graph_is_the_same(agree):
    x = torch.randn(5, 2, 2, dtype=D, requires_grad=True)
    loss = small("LSTM", num_layers=2)(x)[0].square().sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)
    assert torch.equal(torch.autograd.grad(loss, x)[0], first[0])


def test_gradients_flow_in_eval_mode_and_stop_without_grad(agree, gradients):
    module = small(Coins)
    x = torch.randn(5, 2, 2, dtype=D)
    y = module.eval()(x)[0]
    assert y.requires_grad and all(g.any() for g in gradients(y, module.parameters()))
    with torch.no_grad():
        agree(module(x)[0], y)
        assert not module(x)[0].requires_grad
    with torch.inference_mode():
        agree(module(x)[0], y)


def test_only_what_is_asked_for_gets_a_gradient(agree, gradients):
    module, x = small(), torch.randn(5, 2, 2, dtype=D)
    whole = gradients(module(x), module.parameters())
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.b_r_l0.requires_grad_()
    agree(gradients(module(x), [module.b_r_l0]), [whole[2]])


def test_vmap_and_functional_gradients(agree):
    module, xs = small("LSTM", bidirectional=True), torch.randn(3, 4, 2, 2, dtype=D)
    agree(torch.vmap(lambda x: module(x)[0])(xs), torch.stack([module(x)[0] for x in xs]))

    def loss(x):
        return module(x)[0].square().sum()

    x = xs[0].clone().requires_grad_()
    agree(torch.func.grad(loss)(xs[0]), torch.autograd.grad(loss(x), x))
    each = torch.vmap(torch.func.grad(loss))(xs)
    agree(each[0], torch.func.grad(loss)(xs[0]))


def test_functional_gradients_of_shorter_rows(agree):
    module, x = small("LSTM", bidirectional=True), torch.randn(4, 3, 2, dtype=D, requires_grad=True)
    for lengths in (torch.tensor([2, 4, 0]), [4, 1, 3]):

        def loss(x, lengths=lengths):
            return module(x, lengths=lengths)[0].square().sum()

        agree(torch.func.grad(loss)(x.detach()), torch.autograd.grad(loss(x), x))


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"recompute": 2}], ids=str)
def test_many_gradients_at_once(agree, options):
    module, x = small("LSTM", **options), torch.randn(4, 2, 2, dtype=D, requires_grad=True)
    y, inputs = module(x, lengths=[4, 3])[0], [x, *module.parameters()]
    seeds = torch.randn(3, *y.shape, dtype=D)
    found = torch.autograd.grad(y, inputs, seeds, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(y, inputs, seed, retain_graph=True) for seed in seeds]
    agree(found, tuple(map(torch.stack, zip(*each, strict=True))))
    assert not any(gradient.requires_grad for gradient in found)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own forward mode scripts
def test_forward_mode_is_refused_by_name(agree):
    module, x = small(), torch.randn(4, 2, 2, dtype=D)
    with pytest.raises(RecellError, match='forward-mode .* GRU .* backend="eager"'):
        torch.func.jvp(lambda x: module(x)[0], (x,), (x,))
    for grad in (True, False):
        with torch.set_grad_enabled(grad), forward_ad.dual_level(), pytest.raises(RecellError, match="forward-mode"):
            module(forward_ad.make_dual(x, x))
    eager = small(backend="eager")
    eager.load_state_dict(module.state_dict())
    _, tangent = torch.func.jvp(lambda x: eager(x)[0], (x,), (x,))
    step = 1e-6
    numeric = (module(x + step * x)[0] - module(x - step * x)[0]) / (2 * step)
    torch.testing.assert_close(tangent, numeric, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["GRU", Coins])
def test_checkpointing_gives_the_same_and_drops_the_stash(name, agree, gradients):
    module, x = small(name), torch.randn(5, 2, 2, dtype=D, requires_grad=True)
    inputs = [x, *module.parameters()]
    torch.manual_seed(5)
    expected = gradients(module(x), inputs)
    torch.manual_seed(5)
    before = len(derivatives._boxes)
    outputs = checkpoint(module, x, use_reentrant=False)
    assert len(derivatives._boxes) == before
    agree(gradients(outputs, inputs), expected)


def test_reentrant_checkpointing_gives_the_same(agree):
    module, x = small(num_layers=2), torch.randn(5, 2, 2, dtype=D, requires_grad=True)
    module(x)[0].square().sum().backward()
    expected = [t.grad for t in (x, *module.parameters())]
    x.grad = None
    module.zero_grad()
    checkpoint(lambda x: module(x)[0], x, use_reentrant=True).square().sum().backward()
    agree([t.grad for t in (x, *module.parameters())], expected)


def test_saved_tensors_may_be_moved_away(agree, gradients):
    module, x = small(), torch.randn(5, 2, 2, dtype=D, requires_grad=True)
    expected = gradients(module(x), [x, *module.parameters()])
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        outputs = module(x)
    agree(gradients(outputs, [x, *module.parameters()]), expected)


def test_the_stash_is_freed_with_its_graph():
    module, x = small("LSTM"), torch.randn(5, 2, 2, dtype=D)
    gc.collect()
    before = len(derivatives._boxes)
    gc.disable()  # freed by counting references, not by a later sweep
    try:
        module(x)[0].sum().backward()
        assert len(derivatives._boxes) == before
        outputs = module(x)
        assert len(derivatives._boxes) == before + 1
        del outputs
        assert len(derivatives._boxes) == before
    finally:
        gc.enable()


def test_a_write_into_what_backward_reads_is_refused():
    for spoil in ("x", "y"):
        x = torch.randn(5, 2, 2, dtype=D)
        y, _ = small()(x)
        (x if spoil == "x" else y).mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_a_drop_ins_output_of_two_directions_may_be_written_to_as_torchs(agree, gradients):
    module, x = rnn.LSTM(2, 3, 2, bidirectional=True, dtype=D), torch.randn(5, 2, 2, dtype=D, requires_grad=True)
    tensors = (x, *module.parameters())
    expected = gradients(2 * module(x)[0], tensors)
    agree(gradients(module(x)[0].mul_(2), tensors), expected)


def test_an_output_that_two_directions_wrote_is_watched():
    y, _ = small("LSTM", num_layers=2, bidirectional=True)(torch.randn(5, 2, 2, dtype=D, requires_grad=True))
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_batch_without_rows_has_no_gradient(agree):
    module = small("LSTM", bidirectional=True)
    y, state = module(torch.randn(5, 0, 2, dtype=D))
    assert y.shape == (5, 0, 6) and state["c"].shape == (2, 0, 3)
    y.sum().backward()
    assert not any(p.grad.any() for p in module.parameters())


def test_gradients_that_are_equal_by_the_equations_share_no_memory(agree):
    module = rnn.RNN(2, 3, dtype=D)
    y, _ = module(torch.randn(5, 2, 2, dtype=D))
    first, second = torch.autograd.grad(y.sum(), [module.bias_ih_l0, module.bias_hh_l0])
    agree(first, second)
    before = second.clone()
    first.zero_()
    agree(second, before)
