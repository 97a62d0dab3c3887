"""What Bach plays next: the next chord of a chorale, as the probability of each of 88 keys given all chords before.

Data: the JSB chorales, 229 / 76 / 77 pieces to learn from, to choose the best epoch by, and to measure (Boulanger-Lewandowski et
al. 2012). The figure is nats per step, summed over the keys, from the second step of a piece on, as Bai et al. 2018 count. In
training each piece is shifted by up to 5 keys, drawn anew each time. Nothing is chosen on the test part. The naive figure knows
how often each key sounds, and nothing of what came before.

    python examples/chorales.py [--data $RECELL_DATA] [--seeds 3] [--first-seed 0] [--epochs 60] [--threads 2]

With the defaults, about 9 minutes on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from on_data import arguments_of, data_parser, spread

from recell.data.frames import FrameFile
from recell.tasks import Frames

BAR = 8.45
NETWORK: dict[str, Any] = {
    "cell": "LSTM", "hidden_size": 300, "dropout": 0.4, "transpose": 5, "batch_size": 8, "learning_rate": 0.01,
}  # fmt: skip


def main() -> None:
    """A row for each seed, mean and spread; and a few chords that the last one writes."""
    arguments = parsed()
    file = arguments.data / "music" / "JSB_Chorales.jsonl"
    part = {name: [piece.frames for piece in FrameFile(f"{file}#{name}")] for name in ("train", "valid", "test")}
    print(f"JSB chorales, nats per step; to reach: {BAR} or less; naive: {naive(part['train'], part['test']):.2f}", flush=True)
    found, task = [], None
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        began = time.perf_counter()
        task = Frames(**NETWORK, epochs=arguments.epochs, seed=seed, threads=arguments.threads)
        task.fit(part["train"], validation=part["valid"], progress=False)
        valid, test = task.evaluate(part["valid"]), task.evaluate(part["test"])
        found.append(test["nll_per_step"])
        print(f"seed {seed}: valid {valid['nll_per_step']:.3f}  test {test['nll_per_step']:.3f}  test frame accuracy "
              f"{test['frame_accuracy']:.3f}  {time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    print(f"\ntest nats per step: mean {np.mean(found):.3f}, spread {spread(found):.3f}")
    if task is not None:
        written = task.generate(part["test"][0][:8], 8, seed=0)
        print("after eight chords of a chorale it writes: " + "  ".join("-".join(map(str, np.flatnonzero(f))) for f in written))


def naive(train: list[np.ndarray], test: list[np.ndarray]) -> float:
    """Nats per step of keys that sound as often as in training, each frame and key on its own."""
    rates = (np.concatenate(train).sum(0) + 0.5) / (sum(map(len, train)) + 1)
    frames = np.concatenate([piece[1:] for piece in test])
    return float(-np.log(np.where(frames > 0, rates, 1 - rates)).sum(1).mean())


def parsed() -> argparse.Namespace:
    parser = data_parser("Foretell the next chord of Bach's chorales.", "music", seeds=3, first_seed=0, epochs=60, threads=2)
    return arguments_of(parser)


if __name__ == "__main__":
    main()
