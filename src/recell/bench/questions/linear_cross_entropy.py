"""How much faster, and in how much less memory, are output layer and loss in one than the best that torch has?

A step is forward and backward, with the gradients of the input and of the layer's weight. The sides take turns in one
process, and the figures are medians: torch's `cross_entropy(linear(x, w), y)`, torch's `linear_cross_entropy`, the same by
chunks (as torch chooses them, and as was found best here: half of the tokens, "compact"), and recell's. The ratio is to
torch's fastest. Extra memory is what a fresh process holds at its peak (VmHWM, so on Linux only) beyond its state before the
first step, less both gradients; also in percent of the logits, which torch's plain form stores.

What bounds it: the three products, logits, dx and dw, are 2 * 3 * tokens * inputs * classes floating point operations, 129.8
GF at the first shape, and nothing that computes them one by one is done before that number over the FMA peak. `bound` is the
ratio that no kernel of these products can pass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recell.bench.report import Row
from recell.bench.timing import Options, in_child, medians, peak, take_turns
from recell.nn.losses import linear_cross_entropy

KIND = "module"
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Shape = tuple[int, int, int]  # tokens, inputs, classes
SHAPES: dict[Shape, float | None] = {(1280, 512, 33000): 2.0, (640, 1024, 10000): None, (3200, 256, 100): None}


def sides() -> dict[str, Loss]:
    """Every form of the loss, as (x, w, y) -> loss. torch's fused form is there from torch 2.13 on."""
    found: dict[str, Loss] = {"torch plain": lambda x, w, y: functional.cross_entropy(functional.linear(x, w), y)}
    fused: Any = getattr(functional, "linear_cross_entropy", None)
    if fused is not None:
        chunks: Any = torch.nn.LinearCrossEntropyOptions  # pyright: ignore[reportAttributeAccessIssue]
        found |= {
            "torch fused": fused,
            "torch chunked": lambda x, w, y: fused(x, w, y, options=chunks()),
            "torch halves": lambda x, w, y: fused(
                x, w, y, options=chunks(batch_chunk_size=-(-len(x) // 2), acc_policy="compact")
            ),
        }
    return found | {"recell": linear_cross_entropy}


def rows(options: Options) -> Iterator[Row]:
    for shape, promised in SHAPES.items():
        yield from measure(shape, promised, options.threads)


def measure(shape: Shape, promised: float | None, threads: int) -> Iterator[Row]:
    given = tensors(*shape)
    seconds = medians(take_turns({name: step(loss, *given) for name, loss in sides().items()}, rounds=9))
    rate, (tokens, inputs, classes) = peak(threads), shape
    best, operations, logits = (
        min(v for name, v in seconds.items() if name != "recell"),
        6.0 * tokens * inputs * classes,
        4 * tokens * classes,
    )
    for name, value in seconds.items():
        row: Row = {"(tokens, inputs, classes)": str(shape), "side": name, "ms": 1e3 * value}
        row |= {"% of peak": 100 * operations / value / rate, "ratio to torch's best": best / value}
        if name == "recell":
            row |= {"at least": promised, "bound": best * rate / operations}
        yield row | memory_of(name, shape, threads, logits)


def tensors(tokens: int, inputs: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(tokens, inputs).requires_grad_()
    w = torch.empty(classes, inputs).normal_(std=inputs**-0.5).requires_grad_()
    return x, w, torch.randint(0, classes, (tokens,))


def step(loss: Loss, x: Tensor, w: Tensor, y: Tensor) -> Callable[[], None]:
    def run() -> None:
        x.grad = w.grad = None
        loss(x, w, y).backward()

    return run


def memory_of(name: str, shape: Shape, threads: int, logits: int) -> Row:
    if not sys.platform.startswith("linux"):
        return {"extra MB": "not measured: needs Linux"}
    extra = in_child(f"{__name__}:extra_memory", name, shape, threads)
    return {"extra MB": extra / 1e6, "% of the logits": 100 * extra / logits}


def extra_memory(name: str, shape: Shape, threads: int) -> int:
    """Bytes, in this process, which must be fresh."""
    torch.set_num_threads(threads)
    loss = sides()[name]
    step(loss, *tensors(8, 8, 8))()  # what is loaded at the first use
    x, w, y = tensors(*shape)
    before = most_resident()
    step(loss, x, w, y)()
    return max(0, most_resident() - before - x.nbytes - w.nbytes)


def most_resident() -> int:
    """Bytes that this process ever held; ru_maxrss would count the parent's before exec."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
