"""Slots and intents of spoken commands: SNIPS's 13,084 sentences, measured on its 700 others.

A tenth of the training part, drawn by the seed, is held out to choose the best epoch; what is measured is read once, at the end.
Beside it stand published figures and what the most frequent tag of each word gives (data/README.md of the project's data).

    python examples/snips.py [--data FOLDER] [--epochs 10] [--seeds 0 1 2] [--cell LSTM] [--sentences N] [--out FOLDER]

FOLDER holds slots/snips/{train,valid}; without --data, the environment's RECELL_DATA. About 4 minutes a seed on 2 cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from on_data import arguments_of, data_parser, spread

from recell.data.sentences import SentenceFile
from recell.tasks import Tagger

SHOWN = ("slot_f1", "intent_accuracy", "sentence_accuracy")
NETWORK = {"hidden_size": 200, "trigram_size": 50, "unknown_rate": 0.05, "batch_size": 32}  # chosen on the held-out tenth, seed 0
BESIDE = {
    "at least": (0.90, 0.98, 0.78),
    "attention BiRNN, test part (Goo et al. 2018)": (0.878, 0.967, 0.741),
    "slot-gated, test part (Goo et al. 2018)": (0.888, 0.970, 0.755),
    "most frequent tag of each word": (0.498, None, None),
}


def main() -> None:
    """Train once for each seed; print every figure, their means and spreads."""
    arguments = parsed()
    folder = Path(arguments.data) / "slots" / "snips"
    learnt, asked = (list(SentenceFile(folder / part))[: arguments.sentences] for part in ("train", "valid"))
    rows = []
    print(f"{'':46}{'slot F1':>9}{'intent':>9}{'sentence':>10}{'seconds':>9}")
    for seed in arguments.seeds:
        began = time.perf_counter()
        task = Tagger(cell=arguments.cell, epochs=arguments.epochs, seed=seed, threads=arguments.threads, **NETWORK)
        out = None if arguments.out is None else arguments.out / str(seed)
        figures = task.fit(learnt, out=out).evaluate(asked)
        rows.append([figures[name] for name in SHOWN])
        show(f"{arguments.cell}, seed {seed}", rows[-1], time.perf_counter() - began)
    table = np.array(rows)
    show(f"mean of {len(rows)}", table.mean(0).tolist())
    show("spread (sample deviation)", spread(rows).tolist())
    for name, figures in BESIDE.items():
        show(name, figures)


def show(name: str, figures: list[float] | tuple[float | None, ...], seconds: float | None = None) -> None:
    shown = ["-" if value is None else f"{100 * value:.2f}" for value in figures]
    cells = "".join(f"{text:>{width}}" for text, width in zip(shown, (9, 9, 10), strict=True))
    print(f"{name:46}{cells}{'' if seconds is None else f'{seconds:9.0f}'}", flush=True)


def parsed() -> argparse.Namespace:
    parser = data_parser("Learn slots and intents of SNIPS; measure them on its valid part.", "slots/snips", epochs=10, threads=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one training for each (default 0 1 2)")
    parser.add_argument("--cell", default="LSTM", help="a cell's name (default %(default)s)")
    parser.add_argument("--sentences", type=int, help="how many of each part (default all)")
    parser.add_argument("--out", type=Path, help="folder for the models, one for each seed")
    return arguments_of(parser)


if __name__ == "__main__":
    main()
