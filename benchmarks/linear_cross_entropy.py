"""How much faster, and in how much less memory, are output layer and loss in one than the best that torch has?

A step is forward and backward, with the gradients of the input and of the layer's weight. The sides take turns in one process,
and the figures are medians: torch's `cross_entropy(linear(x, w), y)`, torch's `linear_cross_entropy`, the same by chunks
(as torch chooses them, and as was found best here: half of the tokens, "compact"), and recell's. The ratio is to torch's
fastest.

What bounds it: the three products, logits, dx and dw, are 2 * 3 * tokens * inputs * classes floating point operations, 129.8 GF
at the first shape, and nothing that computes them one by one is done before `bound`, that number over the FMA peak, which the
library measures in the same run. So `most` is the ratio that no kernel of these products can pass; the percentages are of the
peak. On 2 cores of a Zen 4 (peak 235 GF/s) the bound is 552 ms. Torch takes 895 in its plain form (62 %) and 800 in halves
(69 %): twice as fast, 447 and 400 ms, lies beyond the peak, and the most that is left is 1.62 and 1.45 x. With MKL told that the
processor is Intel's, a preload that no user has, torch takes 853 and 714.

Memory is what a fresh process holds at its peak (VmHWM, so on Linux only) beyond its state before the first step, less both
gradients; it is given in megabytes and in percent of the logits.

    python benchmarks/linear_cross_entropy.py [--shape 1280,512,33000] [--repeats 9] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions, functional

from recell.compiler.backends.cpu import library
from recell.nn.losses import linear_cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
SIDES: dict[str, Loss] = {
    "torch plain": lambda x, w, y: functional.cross_entropy(functional.linear(x, w), y),
    "torch fused": functional.linear_cross_entropy,
    "torch chunked": lambda x, w, y: functional.linear_cross_entropy(x, w, y, options=LinearCrossEntropyOptions()),
    "torch halves": lambda x, w, y: functional.linear_cross_entropy(
        x, w, y, options=LinearCrossEntropyOptions(batch_chunk_size=-(-len(x) // 2), acc_policy="compact")
    ),
    "recell": linear_cross_entropy,
}
SHAPES = ("1280,512,33000", "640,1024,10000", "3200,256,100")  # tokens, inputs, classes; the last: a model of characters


def tensors(tokens: int, inputs: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(tokens, inputs).requires_grad_()
    w = torch.empty(classes, inputs).normal_(std=inputs**-0.5).requires_grad_()
    return x, w, torch.randint(0, classes, (tokens,))


def step(loss: Loss, x: Tensor, w: Tensor, y: Tensor) -> None:
    x.grad = w.grad = None
    loss(x, w, y).backward()


def times(shape: tuple[int, int, int], repeats: int) -> tuple[dict[str, float], float]:
    """Median seconds of each side, and the best FMA rate seen (flops per second)."""
    given, peak = tensors(*shape), 0.0
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    for number in range(repeats + 2):
        peak = max(peak, library.load().rc_fma_peak(torch.get_num_threads(), 0) * 1e9)
        for name, loss in SIDES.items():
            start = time.perf_counter()
            step(loss, *given)
            if number >= 2:  # the first two warm up
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in taken.items()}, peak


def most_resident() -> int:
    """Bytes that this process ever held; ru_maxrss would count the parent's before exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def extra_memory(name: str, shape: tuple[int, int, int]) -> int:
    """Bytes, in this process, which must be fresh."""
    step(SIDES[name], *tensors(8, 8, 8))  # what is loaded at the first use
    x, w, y = tensors(*shape)
    before = most_resident()
    step(SIDES[name], x, w, y)
    return max(0, most_resident() - before - x.nbytes - w.nbytes)


def extra_memory_elsewhere(name: str, shape: tuple[int, int, int], threads: int) -> int:
    command = [sys.executable, __file__, "--memory-of", name, "--shape", ",".join(map(str, shape)), "--threads", str(threads)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report(shape: tuple[int, int, int], options: argparse.Namespace) -> dict[str, object]:
    seconds, peak = times(shape, options.repeats)
    memory = {name: extra_memory_elsewhere(name, shape, options.threads) for name in SIDES}
    tokens, inputs, classes = shape
    flops, logits = 6.0 * tokens * inputs * classes, 4 * tokens * classes
    best = min(value for name, value in seconds.items() if name != "recell")
    print(
        f"{tokens} tokens, {inputs} inputs, {classes} classes, {options.threads} threads, median of {options.repeats}; "
        f"peak {peak * 1e-9:.0f} GF/s, bound {1e3 * flops / peak:.1f} ms, most {best * peak / flops:.2f} x"
    )
    for name, value in seconds.items():
        print(
            f"  {name:14s} {1e3 * value:8.1f} ms  {flops / value / peak:6.1%} of the peak"
            f"   extra memory {memory[name] / 1e6:7.1f} MB  {memory[name] / logits:6.1%} of the logits   {best / value:5.2f} x"
        )
    return {
        "shape": shape,
        "threads": options.threads,
        "peak": peak,
        "seconds": seconds,
        "extra_memory": memory,
        "logits": logits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", action="append", help="tokens,inputs,classes; may be given several times")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    shapes = [tuple(map(int, shape.split(","))) for shape in options.shape or SHAPES]
    if options.memory_of:
        print(extra_memory(options.memory_of, shapes[0]))
        return
    rows = [report(shape, options) for shape in shapes]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
