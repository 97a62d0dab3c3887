"""The next word: after the Chinese words for "sky" and "very" comes "blue", learned live from a handful of sentences.

A recurrent language model reads one word a step and gives the probability of every word to be the next:

    s_t = tanh(U x_t + W s_(t-1) + b_a)         y_t = softmax(V s_t + b_y)          x_t: the word as a one-hot vector

In every sentence the word before the last is the same one, "very". Who sees it alone must guess among all last words;
the answer lies in the word before it, and only the state s can carry that over. The column `no memory` is from a
network that learned the same sentences cut into pairs, a word and the next one, and so never read two words in a row.
"""

from __future__ import annotations

from recell.by_hand.language_model import RNNLanguageModel
from recell.worked.table import Worked, table, worked

SENTENCES = (
    ("天空", "很", "蓝"),  # the sky is very blue
    ("草地", "很", "绿"),  # the meadow is very green
    ("雪", "很", "白"),  # the snow is very white
    ("山", "很", "高"),  # the mountain is very high
    ("大海", "很", "深"),  # the sea is very deep
)
HIDDEN, EPOCHS, RATE = 16, 150, 0.2
Pairs = list[tuple[list[int], list[int]]]  # the words read, and the word that follows each


def sky(seed: int = 0, sentences: tuple[tuple[str, ...], ...] = SENTENCES) -> Worked:
    """Learns `sentences` and asks for each one's last word. NumPy alone, well under a second."""
    words = sorted({word for sentence in sentences for word in sentence})
    numbers = [[words.index(word) for word in sentence] for sentence in sentences]
    whole = [(sentence[:-1], sentence[1:]) for sentence in numbers]
    pairs = [([word], [following]) for x, y in whole for word, following in zip(x, y, strict=True)]
    model, losses = _learned(whole, len(words), seed)
    memoryless, _ = _learned(pairs, len(words), seed)
    rows: list[tuple[object, ...]] = []
    for sentence, (*read, last) in zip(sentences, numbers, strict=True):
        after_all = model.forward(read)[0][-1]
        alone = memoryless.forward(read[-1:])[0][-1]
        best = int(after_all.argmax())
        rows.append((" ".join(sentence[:-1]), words[best], after_all[best], sentence[-1], after_all[last], alone[last]))
    columns = ("read", "most probable", "probability", "right", "its probability", "no memory")
    said = (f"{len(words)} words, {HIDDEN} units, {EPOCHS} passes of stochastic gradient descent at rate {RATE}, seed {seed}: "
            f"from {losses[0][1]:.3f} to {losses[-1][1]:.3f} nats a word.")  # fmt: skip
    return worked(__doc__, table(columns, rows), source="recell.by_hand.RNNLanguageModel; Mikolov et al. (2010)", said=said)


def _learned(pairs: Pairs, words: int, seed: int) -> tuple[RNNLanguageModel, list[tuple[int, float]]]:
    model = RNNLanguageModel(words, hidden_dim=HIDDEN, seed=seed)
    x, y = zip(*pairs, strict=True)
    return model, model.train(x, y, learning_rate=RATE, epochs=EPOCHS)
