"""How long does a whole training step of a module take beside torch.nn's, and what does a cell of one's own cost?

A step is forward and backward, with the gradients of the input, both states and all parameters. Both sides take turns in
one process; the figures are medians. `own` is a cell of the user's, of LSTM's size, that no framework knows.

    python benchmarks/module_training.py [--shape 100,64,256,256] [--repeats 15] [--threads 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

import recell.nn as rnn
from recell import cell, sigmoid, tanh


@cell
def Own(p, x, h, c):
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_g @ x + p.U_g @ h + p.b_g)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + (1 - f) * i * g
    h = o * tanh(c)
    return h, c


def step(module: torch.nn.Module, x: torch.Tensor, dy: torch.Tensor) -> None:
    x.grad = None
    for parameter in module.parameters():
        parameter.grad = None
    y, _ = module(x)
    y.backward(dy)


def measure(modules: dict[str, torch.nn.Module], x: torch.Tensor, hidden: int, repeats: int) -> dict[str, float]:
    """Median milliseconds of a step; the modules take turns so that a slow moment of the machine meets all."""
    dy = torch.randn(*x.shape[:2], hidden)
    taken: dict[str, list[float]] = {name: [] for name in modules}
    for round_number in range(repeats + 2):
        for name, module in modules.items():
            start = time.perf_counter()
            step(module, x, dy)
            if round_number >= 2:  # the first two warm up
                taken[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in taken.items()}


def modules_of(inputs: int, hidden: int) -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {
        "torch.nn.LSTM": torch.nn.LSTM(inputs, hidden),
        "recell LSTM": rnn.LSTM(inputs, hidden),
        "recell own cell": rnn.Recurrent(Own, inputs, hidden),
        "torch.nn.GRU": torch.nn.GRU(inputs, hidden),
        "recell GRU": rnn.GRU(inputs, hidden),
        "torch.nn.RNN": torch.nn.RNN(inputs, hidden),
        "recell RNN": rnn.RNN(inputs, hidden),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shape", action="append", help="T,B,input,hidden; may be given several times")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for shape in options.shape or ["100,64,256,256"]:
        steps, batch, inputs, hidden = map(int, shape.split(","))
        x = torch.randn(steps, batch, inputs, requires_grad=True)
        found = measure(modules_of(inputs, hidden), x, hidden, options.repeats)
        rows.append({"shape": shape, "threads": options.threads, "milliseconds": found})
        print(f"(T, B, input, hidden) = ({shape}), {options.threads} threads, median of {options.repeats}")
        for ours, theirs in (("recell LSTM", "torch.nn.LSTM"), ("recell GRU", "torch.nn.GRU"), ("recell RNN", "torch.nn.RNN"),
                             ("recell own cell", "recell LSTM")):
            ratio = found[theirs] / found[ours]
            print(f"  {ours:16s} {found[ours]:8.1f} ms   {theirs:14s} {found[theirs]:8.1f} ms   {ratio:5.2f} x")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
