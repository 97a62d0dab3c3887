"""The same word, two meanings: "arrive Taipei on November 2nd" and "leave Taipei on November 2nd".

Taipei is a destination in the first and a departure in the second. A network without memory sees the same word and must answer
the same; one that remembers the verb need not (Elman 1990, Jordan 1986; the example: slot filling in flight requests). A tagger
learns from a part of the sentences of a small grammar, and is measured on all others; the pair is in neither. The two Taipeis,
their tags and the hidden states that part them are printed side by side, for Elman, Jordan, a bidirectional Elman, and a network
without memory.

A Jordan network remembers nothing but its own last output. Both verbs are tagged O: fed back as probabilities, that output is the
same after both, and the two Taipeis are one; fed back through a sigmoid, each tag's own score is seen, and the network learns to
tell the verbs apart in the scores of tags that it does not choose.

    python examples/taipei.py [--sentences 118] [--seed 0]
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import torch

from recell import cell, cells, sigmoid, tanh
from recell.tasks import Tagger

CITIES = ("Taipei", "London", "Rome", "Lima", "Oslo", "Cairo", "Delhi", "Paris")
MONTHS = ("January", "April", "August", "November")
DAYS = ("1st", "2nd", "3rd", "4th", "21st")
KINDS = {"arrive": "destination", "leave": "departure"}
PAIR = ("arrive Taipei on November 2nd", "leave Taipei on November 2nd")


@cell
def Memoryless(p, x, h):
    """Reads its input alone: the state is written, and never read into what it says."""
    h = tanh(p.W @ x + p.b + 0 * h)
    return h


NETWORKS = {
    "without memory": {"cell": Memoryless, "bidirectional": False, "output": "softmax"},
    "Elman": {"cell": "Elman", "bidirectional": False, "output": "softmax"},
    "Jordan": {"cell": cells.Jordan(activation=sigmoid), "bidirectional": False, "output": "softmax"},
    "Jordan, softmax fed back": {"cell": "Jordan", "bidirectional": False, "output": "softmax"},
    "Elman, both directions": {"cell": "Elman", "bidirectional": True, "output": "softmax"},
}
OPTIONS = {"hidden_size": 8, "word_size": 8, "character_size": 0, "dropout": 0.0, "unknown_rate": 0.0, "epochs": 60,
           "batch_size": 8, "learning_rate": 0.02, "threads": 1}  # fmt: skip


def main() -> None:
    """Learn, answer, show the states."""
    arguments = parsed()
    learnt, fresh = parted(arguments.sentences, np.random.default_rng(arguments.seed))
    print(f"{'':24}{'arrive Taipei':>16}{'leave Taipei':>16}{f'right on {len(fresh)} fresh':>20}")
    states = {}
    for name, options in NETWORKS.items():
        task = Tagger(**OPTIONS, **options, seed=arguments.seed).fit(*tagged(learnt), progress=False)
        arrive, leave = (row[1] for row in task.predict([text.split() for text in PAIR]))
        print(f"{name:24}{arrive:>16}{leave:>16}{task.evaluate(*tagged(fresh))['sentence_accuracy']:>20.1%}")
        states[name] = hidden(task)
    for name, (arrive, leave) in states.items():
        print(f"\n{name}: the states at Taipei, unit by unit (after arrive, after leave)")
        for values in (arrive, leave):
            print("   " + " ".join(f"{value:6.2f}" for value in values))
        print(f"   apart by {np.linalg.norm(arrive - leave):.2f}")


def grammar() -> list[str]:
    """Each "arrive CITY on MONTH DAY" and "leave CITY on MONTH DAY"."""
    parts = itertools.product(KINDS, CITIES, MONTHS, DAYS)
    return [f"{verb} {city} on {month} {day}" for verb, city, month, day in parts]


def parted(count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """`count` sentences to learn from, by chance, and all others; the pair is in neither."""
    others = [text for text in grammar() if text not in PAIR]
    if not 0 < count < len(others):
        raise SystemExit(f"the grammar has {len(others)} sentences beside the pair; came --sentences {count}; write fewer")
    order = [others[place] for place in rng.permutation(len(others))]
    return order[:count], order[count:]


def tagged(sentences: list[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Words and tags."""
    words = [text.split() for text in sentences]
    return words, [["O", f"B-{KINDS[verb]}", "O", "B-date", "I-date"] for verb, *_ in words]


def hidden(task: Tagger) -> tuple[np.ndarray, np.ndarray]:
    """What the recurrent layer says at the second word of each sentence of the pair."""
    codec, network = task.codec_, task.network_.eval()
    found = []
    for text in PAIR:
        (sentence,) = task._unlabelled([text.split()])
        batch = codec.batch([codec.encode(sentence, labelled=False)])
        with torch.no_grad():
            found.append(network.recurrent(network.features(batch))[0][1, 0].numpy())
    return found[0], found[1]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Two Taipeis: departure or destination?")
    parser.add_argument("--sentences", type=int, default=118, help="sentences to learn from (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed learns the same (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
