"""linear_cross_entropy against torch's own in float64: every option, odd sizes, all gradients."""

from __future__ import annotations

import inspect
import itertools

import pytest
import torch
from torch.nn import LinearCrossEntropyOptions, functional

from recell.compiler.backends.cpu import library
from recell.errors import DataError, RecellError, ShapeError
from recell.nn import losses
from recell.nn.losses import linear_cross_entropy

D = torch.float64
SIZES = ((1, 1, 1), (7, 5, 3), (33, 17, 50), (130, 64, 65), (70, 100, 257))  # tokens, inputs, classes


def problem(tokens, inputs, classes, *, dtype=D, bias=True, weights=False, ignored=None):
    """input, linear_weight, target and the keyword tensors."""
    x = torch.randn(tokens, inputs, dtype=dtype).requires_grad_()
    w = (torch.randn(classes, inputs, dtype=dtype) * 0.3).requires_grad_()
    target = torch.randint(0, classes, (tokens,))
    if ignored is not None:
        target[torch.rand(tokens) < 0.3] = ignored
    options = {
        "linear_bias": torch.randn(classes, dtype=dtype).requires_grad_() if bias else None,
        "weight": torch.rand(classes, dtype=dtype) + 0.1 if weights else None,
        "ignore_index": ignored,
    }
    return x, w, target, options


def doubled(value):
    return value.detach().double().requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else value


def both(x, w, target, options, **more):
    """Ours, and torch's in float64 on copies of their own: (loss, differentiable tensors) of each."""
    ours = linear_cross_entropy(x, w, target, **options, **more)
    x, w, options = doubled(x), doubled(w), {name: doubled(value) for name, value in options.items()}
    theirs = functional.linear_cross_entropy(x, w, target, **options, **more)
    return ours, theirs, [t for t in (x, w, options["linear_bias"]) if t is not None]


def close(actual, expected):
    """Raise unless equal to rounding, relative to the largest; float32 sums of a thousand random terms lose a few bits more."""
    tolerance = 2e-5 if actual.dtype == torch.float32 else 1e-12
    scale = max(1e-2, float(expected.detach().abs().nan_to_num().max())) if expected.numel() else 1.0
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance * scale, equal_nan=True)


@pytest.fixture(params=(1, 2, 3))
def threads(request, monkeypatch):
    monkeypatch.setenv("RECELL_NUM_THREADS", str(request.param))
    return request.param


def test_the_signature_is_torchs():
    ours, theirs = (inspect.signature(f).parameters for f in (linear_cross_entropy, functional.linear_cross_entropy))
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [(p.name, p.kind, p.default) for p in theirs.values()]


@pytest.mark.parametrize("dtype", (torch.float32, D))
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("reduction", ("mean", "sum", "none"))
def test_every_option(sizes, reduction, dtype, threads, gradients):
    options_of = itertools.product((True, False), (True, False), (0.0, 0.1), (None, 0, 10**6), (None, 16))
    for bias, weights, smoothing, ignored, chunk in options_of:
        x, w, target, options = problem(*sizes, dtype=dtype, bias=bias, weights=weights, ignored=ignored)
        # chunks change nothing in the result
        ours = linear_cross_entropy(
            x,
            w,
            target,
            **options,
            reduction=reduction,
            label_smoothing=smoothing,
            options=chunk and LinearCrossEntropyOptions(batch_chunk_size=chunk),
        )
        _, theirs, inputs = both(x, w, target, options, reduction=reduction, label_smoothing=smoothing)
        close(ours, theirs)
        if theirs.isnan().any():
            continue  # the mean of nothing; its gradients have a test of their own
        mine = gradients(ours, [t for t in (x, w, options["linear_bias"]) if t is not None])
        for found, expected in zip(mine, gradients(theirs.to(dtype), inputs), strict=True):
            close(found, expected)


def test_large_and_far_apart_logits(threads):
    """The largest logit comes first, last and in the middle; most exponentials vanish, none overflows."""
    x, w, target, options = problem(40, 20, 500)
    with torch.no_grad():
        w *= 200
        options["linear_bias"][::97] += 1e4
    ours, theirs, inputs = both(x, w, target, options)
    close(ours, theirs)
    mine = torch.autograd.grad(ours, [x, w, options["linear_bias"]])
    for found, expected in zip(mine, torch.autograd.grad(theirs, inputs), strict=True):
        close(found, expected)


def test_a_nan_comes_out():
    x, w, target, options = problem(20, 7, 60)
    with torch.no_grad():
        x[3, 2] = torch.nan
    ours, theirs, _ = both(x, w, target, options, reduction="none")
    assert ours.isnan().nonzero().tolist() == theirs.isnan().nonzero().tolist() == [[3]]


@pytest.mark.parametrize("reduction", ("mean", "sum", "none"))
def test_nothing_to_learn(reduction, gradients):
    """An empty batch; a batch that is all ignored."""
    for tokens, ignored in ((0, None), (5, 2)):
        x, w, target, options = problem(tokens, 7, 9, ignored=ignored)
        target.fill_(2)
        ours, theirs, inputs = both(x, w, target, options, reduction=reduction)
        torch.testing.assert_close(ours, theirs, equal_nan=True)
        for found in gradients(ours, [x, w, options["linear_bias"]]):
            assert not found.nan_to_num().any() and not found.isnan().any()


def test_one_row_without_a_batch(gradients):
    x, w, target, options = problem(1, 7, 9)
    for reduction in ("mean", "none"):
        ours = linear_cross_entropy(x[0], w, target[0], **options, reduction=reduction)
        theirs = functional.linear_cross_entropy(x[0], w, target[0], **options, reduction=reduction)
        assert ours.shape == theirs.shape == ()
        close(ours, theirs)
        close(gradients(ours, [x])[0], gradients(theirs, [x])[0])


@pytest.mark.parametrize("wanted", [w for w in itertools.product((True, False), repeat=3) if any(w)])
@pytest.mark.parametrize("reduction", ("mean", "none"))
def test_gradients_of_some(wanted, reduction, gradients):
    x, w, target, options = problem(21, 7, 30)
    for tensor, want in zip((x, w, options["linear_bias"]), wanted, strict=True):
        tensor.requires_grad_(want)
    ours, theirs, inputs = both(x, w, target, options, reduction=reduction)
    asked = [t for t in (x, w, options["linear_bias"]) if t.requires_grad]
    for found, expected in zip(gradients(ours, asked), gradients(theirs, [t for t in inputs if t.requires_grad]), strict=True):
        close(found, expected)


@pytest.mark.parametrize("reduction", ("mean", "sum", "none"))
def test_gradcheck(reduction):
    x, w, target, options = problem(6, 3, 5, weights=True, ignored=1)

    def run(x, w, b):
        return linear_cross_entropy(
            x, w, target, linear_bias=b, weight=options["weight"], ignore_index=1, reduction=reduction, label_smoothing=0.2
        )

    assert torch.autograd.gradcheck(run, (x, w, options["linear_bias"]))
    assert torch.autograd.gradgradcheck(run, (x, w, options["linear_bias"]))


def test_no_gradient_without_need(monkeypatch):
    seen = []
    real = losses.run_kernel
    monkeypatch.setattr(losses, "run_kernel", lambda layer, **more: seen.append(more.get("wanted")) or real(layer, **more))
    x, w, target, options = problem(21, 7, 30)
    with torch.no_grad():
        linear_cross_entropy(x, w, target, **options)
    linear_cross_entropy(x.detach(), w.detach(), target)
    linear_cross_entropy(x, w.detach(), target)
    assert seen == [None, None, (True, False, False)]


def test_backward_twice_and_scaled():
    x, w, target, options = problem(21, 7, 30)
    loss = 3 * linear_cross_entropy(x, w, target, **options)
    first = torch.autograd.grad(loss, [x, w], retain_graph=True)
    kept = [g.clone() for g in first]
    for g in first:
        g.zero_()
    expected = torch.autograd.grad(3 * functional.linear_cross_entropy(x, w, target, **options), [x, w])
    for one, two, right in zip(kept, torch.autograd.grad(loss, [x, w]), expected, strict=True):
        close(one, right)
        close(two, right)


def test_a_change_in_place_is_noticed():
    x, w, target, _ = problem(21, 7, 30)
    loss = linear_cross_entropy(x, w, target)
    with torch.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_memory_that_is_not_contiguous(gradients):
    x, w, target, options = problem(21, 14, 60)
    x, w, target = x[:, ::2], w[::2, ::2], target.remainder(30).repeat_interleave(2)[::2]
    options["linear_bias"] = options["linear_bias"][::2]
    leaves = [x, w, options["linear_bias"]]
    ours = linear_cross_entropy(*leaves[:2], target, linear_bias=leaves[2])
    theirs = functional.linear_cross_entropy(*leaves[:2], target, linear_bias=leaves[2])
    for found, expected in zip(gradients(ours, leaves), gradients(theirs, leaves), strict=True):
        close(found, expected)


def test_the_same_bits_again(threads):
    x, w, target, options = problem(200, 40, 700, dtype=torch.float32)
    runs = [torch.autograd.grad(linear_cross_entropy(x, w, target, **options), [x, w, options["linear_bias"]]) for _ in range(3)]
    for again in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], again, strict=True))


def test_scratch_is_no_matrix_of_logits():
    """1280 tokens of 33,000 classes: the pool grows by less than a tenth of their logits, the gradients apart."""
    tokens, inputs, classes = 1280, 8, 33000
    x, w, target, _ = problem(tokens, inputs, classes, dtype=torch.float32)
    pool = library.load()
    pool.rc_pool_trim()
    before = pool.rc_pool_bytes()
    linear_cross_entropy(x, w, target).backward()
    gradient = 2 * 2**20  # of w, in whole huge pages
    assert pool.rc_pool_bytes() - before - gradient < tokens * classes * 4 / 10


def test_autocast(gradients):
    x, w, target, options = problem(40, 16, 90, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = x.to(torch.bfloat16)
        ours = linear_cross_entropy(half, w, target, **options)
    assert ours.dtype == torch.float32
    expected = functional.linear_cross_entropy(half.float(), w, target, **options)
    close(ours, expected.double())
    close(gradients(ours, [w])[0], gradients(expected, [w])[0].double())
    assert gradients(linear_cross_entropy(x, w, target), [x])[0].dtype == torch.float32


def test_what_torchs_own_function_computes():
    """Probabilities, other dtypes, K dimensions, vmap; a weight with a gradient, which torch refuses."""
    x, w, target, _ = problem(6, 5, 4)
    likely = torch.rand(6, 4, dtype=D).softmax(1)
    close(linear_cross_entropy(x, w, likely), functional.linear_cross_entropy(x, w, likely))
    half = linear_cross_entropy(x.bfloat16(), w.bfloat16(), target)
    assert half.dtype == torch.bfloat16
    wide, deep = torch.randn(4, 3, 5, dtype=D), torch.randint(0, 4, (6, 3))
    close(linear_cross_entropy(x, wide, deep), functional.linear_cross_entropy(x, wide, deep))
    with pytest.raises(RuntimeError, match="not differentiable with respect to argument 'weight'"):
        linear_cross_entropy(x, w, target, weight=torch.rand(4, dtype=D).requires_grad_())
    each = torch.func.vmap(lambda row, y: linear_cross_entropy(row, w, y))(x, target)
    close(each, functional.linear_cross_entropy(x, w, target, reduction="none"))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # of torch's own decompositions
def test_forward_mode():
    x, w, target, _ = problem(6, 5, 4)
    slope = torch.func.jvp(lambda x: linear_cross_entropy(x, w.detach(), target), (x.detach(),), (torch.ones_like(x),))[1]
    close(slope, torch.autograd.grad(linear_cross_entropy(x, w, target), x)[0].sum())


def test_compiled(gradients):
    x, w, target, options = problem(6, 5, 4)
    compiled = torch.compile(lambda x, w: linear_cross_entropy(x, w, target, **options), backend="eager", fullgraph=True)
    ours, theirs = compiled(x, w), functional.linear_cross_entropy(x, w, target, **options)
    close(ours, theirs)
    for found, expected in zip(gradients(ours, [x, w]), gradients(theirs, [x, w]), strict=True):
        close(found, expected)


@pytest.mark.parametrize(
    ("change", "error", "line"),
    [
        ({"target": torch.tensor([0, 4, 1])}, DataError, r"target\[1\] is no class of linear_weight, which has 4; came 4"),
        ({"target": torch.tensor([0, 3, -1])}, DataError, r"target\[2\] .* came -1"),
        ({"target": torch.tensor([0, 3])}, ShapeError, "one class per row"),
        ({"target": torch.tensor([0, 3, 1], dtype=torch.int32)}, ShapeError, "int64 .* came int32"),
        ({"input": torch.ones(3, 6)}, ShapeError, "the same D"),
        ({"input": torch.ones(1, 3, 5)}, ShapeError, "flatten"),
        ({"linear_weight": torch.ones(0, 5)}, ShapeError, "no class"),
        ({"linear_weight": torch.ones(4, 5, dtype=D)}, ShapeError, "the dtype of input, float32; came float64"),
        ({"linear_bias": torch.ones(5)}, ShapeError, "linear_bias has one entry for each class"),
        ({"weight": torch.ones(4, 1)}, ShapeError, "weight has one entry"),
        ({"reduction": "average"}, RecellError, "no such reduction; came 'average'"),
        ({"label_smoothing": 1.5}, RecellError, "from 0 to 1"),
    ],
)
def test_one_line_for_what_cannot_be(change, error, line):
    given = {"input": torch.ones(3, 5), "linear_weight": torch.ones(4, 5), "target": torch.tensor([0, 3, 1]), **change}
    with pytest.raises(error, match=line) as caught:
        linear_cross_entropy(given.pop("input"), given.pop("linear_weight"), given.pop("target"), **given)
    assert "\n" not in str(caught.value)
