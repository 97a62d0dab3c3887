"""A language model from scratch: the vanilla network of rnn.py, learning which word comes next.

A sentence is word numbers w_0, ..., w_T. At step t the network sees x_t = w_t as a one-hot vector, so that U x_t is
column w_t of U, and gives the probability of every word to be next; the target is y_t = w_(t+1):

    L = -sum_t log softmax(V s_t + b_y)[y_t]

A step of stochastic gradient descent, one sentence at a time (Robbins & Monro 1951; as a language model: Mikolov et
al. 2010), moves each parameter against its gradient: w <- w - learning_rate dL/dw.

    from recell.by_hand import RNNLanguageModel
    model = RNNLanguageModel(word_dim=8000)
    model.train(x, y)                       # x, y: lists of sentences, y one word later than x
    model.generate([start], length=20, end=end)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from recell.by_hand.checks import Array, Integers, count, integers
from recell.by_hand.rnn import RNNRun, rnn_backward, rnn_forward
from recell.by_hand.softmax import one_hot
from recell.errors import DataError, ShapeError, message

Sentences = Sequence[ArrayLike]


class RNNLanguageModel:
    """A vanilla RNN over `word_dim` words with `hidden_dim` tanh units and a softmax (Mikolov et al. 2010).

    Parameters U (hidden, word), W (hidden, hidden), V (word, hidden) start uniform in +-1/sqrt(n), n the width of
    what they multiply; b_a and b_y start at 0. `bptt_truncate` is that of `truncated_bptt`; None is full BPTT.
    Raises DataError for sizes under 1.
    """

    def __init__(self, word_dim: int, hidden_dim: int = 100, bptt_truncate: int | None = 4, *, seed: int = 0) -> None:
        self.word_dim = count("word_dim", word_dim, least=1)
        self.hidden_dim = count("hidden_dim", hidden_dim, least=1)
        self.bptt_truncate = None if bptt_truncate is None else count("bptt_truncate", bptt_truncate, least=0)
        self.random = np.random.default_rng(seed)
        self.parameters: dict[str, Array] = {
            "U": self._uniform(self.hidden_dim, self.word_dim),
            "W": self._uniform(self.hidden_dim, self.hidden_dim),
            "V": self._uniform(self.word_dim, self.hidden_dim),
            "b_a": np.zeros(self.hidden_dim),
            "b_y": np.zeros(self.word_dim),
        }

    def _uniform(self, rows: int, columns: int) -> Array:
        bound = 1 / math.sqrt(columns)
        return self.random.uniform(-bound, bound, (rows, columns))

    def run(self, x: ArrayLike, s_0: ArrayLike | None = None) -> RNNRun:
        """The forward pass with all that the backward pass needs, as a batch of one row."""
        words = integers("x", x, self.word_dim, 1)
        return rnn_forward(one_hot(words, self.word_dim)[:, None], self.parameters, s_0)

    def forward(self, x: ArrayLike) -> tuple[Array, Array]:
        """(y, s) of one sentence x (T,): the probabilities of the next word (T, word_dim), the states (T, hidden_dim)."""
        run = self.run(x)
        return run.y[:, 0], run.s[1:, 0]

    def predict(self, x: ArrayLike) -> Integers:
        """The most probable next word after each word of the sentence x (T,)."""
        y, _ = self.forward(x)
        return y.argmax(1)

    def total_loss(self, x: ArrayLike | Sentences, y: ArrayLike | Sentences) -> float:
        """The cross-entropy in nats of one sentence x (T,) with targets y (T,), or of lists of them, summed."""
        return float(sum(self.run(words).loss(targets[:, None]) for words, targets in self._pairs(x, y)))

    def loss(self, x: ArrayLike | Sentences, y: ArrayLike | Sentences) -> float:
        """`total_loss` in nats per word: log(word_dim) for a model that knows nothing."""
        words = sum(len(sentence) for sentence, _ in self._pairs(x, y))
        if not words:
            raise DataError("there is no word in these sentences; write sentences of one word or more")
        return self.total_loss(x, y) / words

    def bptt(self, x: ArrayLike, y: ArrayLike) -> dict[str, Array]:
        """dL/dparameter by name, L the summed loss of one sentence x (T,) with targets y (T,)."""
        ((words, targets),) = self._pairs([x], [y])
        run = self.run(words)
        do = run.loss_gradient(targets[:, None])
        return rnn_backward(run, do, bptt_truncate=self.bptt_truncate).parameters

    def sgd_step(self, x: ArrayLike, y: ArrayLike, learning_rate: float) -> None:
        """One step against the gradient of one sentence."""
        for name, gradient in self.bptt(x, y).items():
            self.parameters[name] -= learning_rate * gradient

    def train(
        self, x: Sentences, y: Sentences, *, learning_rate: float = 0.005, epochs: int = 100, evaluate_every: int = 5
    ) -> list[tuple[int, float]]:
        """Steps through all sentences `epochs` times; returns (sentences seen, loss per word), the first untrained.

        Every `evaluate_every` epochs, and at the end, the loss is measured; where it rose, the learning rate is
        halved. Raises DataError for numbers that make no sense.
        """
        count("epochs", epochs, least=1)
        count("evaluate_every", evaluate_every, least=1)
        if not (math.isfinite(learning_rate) and learning_rate > 0):
            raise DataError(message("learning_rate is above 0", came=learning_rate, write="0.005"))
        pairs = self._pairs(x, y)
        losses = [(0, self.loss(x, y))]
        for epoch in range(1, epochs + 1):
            for words, targets in pairs:
                self.sgd_step(words, targets, learning_rate)
            if epoch % evaluate_every == 0 or epoch == epochs:
                losses.append((epoch * len(pairs), self.loss(x, y)))
                if losses[-1][1] > losses[-2][1]:
                    learning_rate = learning_rate / 2
        return losses

    def generate(self, prompt: ArrayLike, *, length: int = 20, end: int | None = None) -> list[int]:
        """`length` words after the prompt (a word's number, or several), each drawn with its probability; stops after `end`.

        Only the new words come back. The state is carried on, so that a word costs one step. Draws from the
        model's own `random`.
        """
        count("length", length, least=0)
        run = self.run(np.atleast_1d(prompt))
        if not len(run.y):
            raise DataError("the prompt holds no word; write the number of a word to start with")
        words: list[int] = []
        while len(words) < length and (not words or words[-1] != end):
            words.append(int(self.random.choice(self.word_dim, p=run.y[-1, 0])))
            run = self.run(words[-1:], run.s[-1])
        return words

    def _pairs(self, x: ArrayLike | Sentences, y: ArrayLike | Sentences) -> list[tuple[Integers, Integers]]:
        """Sentences with their targets, checked; a single sentence is a list of one."""
        if not _is_list_of_sentences(x):
            x, y = [x], [y]  # type: ignore[list-item]
        sentences = [integers("x", sentence, self.word_dim, 1) for sentence in x]  # type: ignore[union-attr]
        targets = [integers("y", sentence, self.word_dim, 1) for sentence in y]  # type: ignore[union-attr]
        lengths, wanted = [len(t) for t in targets], [len(s) for s in sentences]
        if lengths != wanted:
            raise ShapeError(message("a target follows every word", came=f"{sum(lengths)} targets for {sum(wanted)} words"))
        return list(zip(sentences, targets, strict=True))


def _is_list_of_sentences(x: object) -> bool:
    first = next(iter(x), None) if isinstance(x, Sequence | np.ndarray) else None
    return isinstance(first, Sequence | np.ndarray) and np.ndim(first) > 0
