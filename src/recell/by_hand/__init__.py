"""Recurrent networks by hand: NumPy alone, one formula a line, every gradient derived in its file's docstring.

To learn from, and to judge by: nothing here knows the compiler, and the compiler is held against it.
"""

from __future__ import annotations

from recell.by_hand.activations import relu, sigmoid, tanh
from recell.by_hand.ctc import ctc_gradient, ctc_greedy, ctc_loss
from recell.by_hand.gradient_check import central_differences, gradient_check
from recell.by_hand.gradients import Gradients
from recell.by_hand.gru import GRURun, gru_backward, gru_forward, gru_shapes
from recell.by_hand.language_model import RNNLanguageModel
from recell.by_hand.lstm import LSTMRun, lstm_backward, lstm_forward, lstm_shapes
from recell.by_hand.outputs import (
    binary_cross_entropy,
    binary_cross_entropy_gradient,
    squared_error,
    squared_error_gradient,
)
from recell.by_hand.rnn import RNNRun, chunked_bptt, full_bptt, rnn_backward, rnn_forward, truncated_bptt
from recell.by_hand.softmax import cross_entropy, cross_entropy_gradient, log_softmax, one_hot, softmax, softmax_jvp

__all__ = [
    "GRURun", "Gradients", "LSTMRun", "RNNLanguageModel", "RNNRun",
    "binary_cross_entropy", "binary_cross_entropy_gradient", "central_differences", "chunked_bptt", "cross_entropy",
    "cross_entropy_gradient", "ctc_gradient", "ctc_greedy", "ctc_loss", "full_bptt", "gradient_check", "gru_backward",
    "gru_forward", "gru_shapes", "log_softmax", "lstm_backward", "lstm_forward", "lstm_shapes", "one_hot", "relu",
    "rnn_backward", "rnn_forward", "sigmoid", "softmax", "softmax_jvp", "squared_error", "squared_error_gradient", "tanh",
    "truncated_bptt",
]
