"""The main job: an LSTM of recell learns to write Python's language reference, the text that every Python carries.

Trains one layer of 256 units on the first 90 % of ``pydoc_data.topics``; then prints how well it foretells
the whole last 10 % beside a 5-gram, its speed beside torch.nn.LSTM's in this same run, and a sample of what
it writes.

    python examples/demo.py [--steps 1200] [--out demo/model]
"""

from __future__ import annotations

import argparse
import math
import shutil
import time
from pathlib import Path

import torch

from recell.bench.questions.language_model import (
    BATCH_SIZE,
    EMBEDDING_SIZE,
    HIDDEN_SIZE,
    LEARNING_RATE,
    WINDOW,
    reference_text,
    step_seconds,
)
from recell.data import WittenBell, fold
from recell.tasks import LanguageModel

LINE = 79


def main() -> None:
    """Train, compare, write."""
    arguments = parsed()
    began = time.perf_counter()
    train, held_out = split(reference_text())
    print(f"Python's language reference: {len(train) + len(held_out):,} characters, the last {len(held_out):,} held out")
    model = LanguageModel(
        cell="LSTM", hidden_size=HIDDEN_SIZE, embedding_size=EMBEDDING_SIZE, batch_size=BATCH_SIZE, window=WINDOW,
        steps=arguments.steps, learning_rate=LEARNING_RATE, validation_fraction=0.0,
    )  # fmt: skip
    forget(arguments.out)
    model.fit([train], out=arguments.out).save(arguments.out)
    trained = time.perf_counter() - began
    print(f"trained {arguments.steps:,} steps in {trained:.0f} s, saved in {arguments.out}")
    compare_losses(model, train, held_out)
    compare_speeds(train)
    print(f"\nA sample (recell generate {arguments.out} --temperature 0.7 --seed 1):\n")
    print(fold(model.generate("", 600, temperature=0.7, seed=1), LINE))
    print(f"\nall in all {time.perf_counter() - began:.0f} s")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train an LSTM on Python's language reference and let it write.")
    parser.add_argument("--steps", type=int, default=1200, help="training steps (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("demo/model"), help="model folder (default %(default)s)")
    return parser.parse_args()


def forget(folder: Path) -> None:
    """Remove what an earlier run of this demo left, and nothing else."""
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    for name in ("config.json", "model.safetensors", "vocabulary.json", "metrics.jsonl"):
        (folder / name).unlink(missing_ok=True)


def split(text: str) -> tuple[str, str]:
    """The first 90 % to learn from, the last 10 % to be measured on."""
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:]


def compare_losses(model: LanguageModel, train: str, held_out: str) -> None:
    """Nats and bits per held-out character: the network's, and a 5-gram's on the same split."""
    figures = model.evaluate([held_out])
    vocabulary = model.vocabulary_
    counted = WittenBell(5, len(vocabulary)).fit(vocabulary.encode(train)).nats(vocabulary.encode(held_out))
    print(f"\n{'all ' + format(figures['tokens'], ',') + ' held-out characters':<34}{'nats':>8}{'bits per character':>22}")
    for name, nats in (("recell LSTM, 256 units", figures["nats_per_token"]), ("5-gram, Witten-Bell", counted)):
        print(f"{name:<34}{nats:8.4f}{nats / math.log(2):22.4f}")


def compare_speeds(train: str) -> None:
    """Characters per second of a whole training step, recell's LSTM and torch.nn.LSTM taking turns; medians."""
    medians = step_seconds(train)
    print(f"\n{f'training, {torch.get_num_threads()} threads, medians':<34}{'characters per second':>30}")
    for name, median in medians.items():
        print(f"{name:<34}{BATCH_SIZE * WINDOW / median:30,.0f}")
    print(f"{'recell / torch':<34}{medians['torch.nn.LSTM'] / medians['recell LSTM']:29.2f}x")


if __name__ == "__main__":
    main()
