"""What does the speaker want? A classifier reads "what time is it ?" word by word, and its decision grows.

With RECELL_DATA (or --data), intents and sentences of SNIPS (Coucke et al. 2018) beside those of a small grammar that is part of
this file and knows questions for the time; without, the grammar alone. The sentence that is read is not among those learnt from,
with or without its mark.

    python examples/intent.py [--data $RECELL_DATA] [--seed 0] [--epochs 3] [--sentence "what time is it ?"]

Seconds with the grammar alone, about a minute with SNIPS.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

from recell.data.labelled import LabelledFile
from recell.tasks import Classifier

CITIES = "Taipei|Rome|Kiel|New York|Lima"
GRAMMAR = {
    "AskTime": (["what time is it", "what is the time", "do you know what time it is", "tell me the time", "how late is it",
                 "what time is it in *"], CITIES),
    "GetWeather": (["what is the weather in *", "is it cold in *", "will it rain in *", "what weather is it in *",
                    "is it windy"], CITIES),
    "PlayMusic": (["play *", "play something by *", "what is the song by *", "put on *"],
                  "Bach|Nina Simone|some jazz|Miles Davis"),
    "BookRestaurant": (["book a table in *", "what restaurant is there in *", "a table for * please",
                        "is it possible to book in *"], "Taipei|two|Rome|four|Kiel"),
}  # fmt: skip


def main() -> None:
    """Train, and print the intents' probabilities after each word."""
    arguments = parsed()
    texts, intents = spoken(arguments.seed, without=arguments.sentence)
    if arguments.data is not None:
        examples = list(LabelledFile(arguments.data / "slots" / "snips" / "train"))[: arguments.sentences]
        examples = [example for example in examples if plain(str(example.value)) != plain(arguments.sentence)]
        texts, intents = [*texts, *(str(e.value) for e in examples)], [*intents, *(str(e.label) for e in examples)]
    task = Classifier(cell="GRU", hidden_size=48, embedding_size=48, bidirectional=False, pooling="last", dropout=0.3,
                      epochs=arguments.epochs, seed=arguments.seed, threads=arguments.threads)  # fmt: skip
    task.fit(texts, intents, progress=False)
    names = [str(name) for name in task.classes_]
    print(f"{len(texts):,} sentences, {len(names)} intents, seed {arguments.seed}\n")
    print(f"{'':<10}" + "".join(f"{name:>{len(name) + 2}}" for name in names))
    for word, probabilities in task.grows(arguments.sentence):
        print(f"{word:<10}" + "".join(f"{p:{len(name) + 2}.2f}" for name, p in zip(names, probabilities.values(), strict=True)))
    print(f"\nso it is {task.predict([arguments.sentence])[0]}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An intent's probability after each word.")
    parser.add_argument("--data", type=Path, default=os.environ.get("RECELL_DATA"), help="the folder with slots/snips")
    for name, usual in (("seed", 0), ("epochs", 3), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=usual, help="default %(default)s")
    parser.add_argument("--sentences", type=int, help="how many of SNIPS; default all")
    parser.add_argument("--sentence", default="what time is it ?", help="what is read (default %(default)r)")
    return parser.parse_args()


def plain(text: str) -> str:
    """A sentence without its mark."""
    return text.lower().rstrip(" ?")


def spoken(seed: int, *, without: str, count: int = 1500) -> tuple[list[str], list[str]]:
    """Sentences of the grammar but that one, and their intents; questions end in a mark, mostly."""
    rng = np.random.default_rng(seed)
    texts, intents = list[str](), list[str]()
    while len(texts) < count:
        intent = str(rng.choice(list(GRAMMAR)))
        forms, fillers = GRAMMAR[intent]
        text = str(rng.choice(forms)).replace("*", str(rng.choice(fillers.split("|"))))
        asks = text.split()[0] in ("what", "is", "will", "do", "how") and rng.random() < 0.8
        if plain(text) != plain(without):
            texts.append(text + " ?" * bool(asks))
            intents.append(intent)
    return texts, intents


if __name__ == "__main__":
    main()
