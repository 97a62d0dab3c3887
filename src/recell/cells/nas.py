"""The cell that a search found (Zoph & Le 2017), as TensorFlow ships it: tfa.rnn.NASCell without biases and projection.

A tree of eight leaves, each reading W x and U h; leaf 3 takes their product, the others their sum.
"""

from recell.language.cell import cell
from recell.language.functions import relu, sigmoid, tanh


@cell
def NAS(p, x, h, c):
    l0 = sigmoid(p.W_0 @ x + p.U_0 @ h)
    l1 = relu(p.W_1 @ x + p.U_1 @ h)
    l2 = sigmoid(p.W_2 @ x + p.U_2 @ h)
    l3 = relu((p.W_3 @ x) * (p.U_3 @ h))
    l4 = tanh(p.W_4 @ x + p.U_4 @ h)
    l5 = sigmoid(p.W_5 @ x + p.U_5 @ h)
    l6 = tanh(p.W_6 @ x + p.U_6 @ h)
    l7 = sigmoid(p.W_7 @ x + p.U_7 @ h)
    c = tanh(tanh(l0 * l1) + c) * tanh(l2 + l3)
    h = tanh(c * tanh(tanh(l4 * l5) + sigmoid(l6 + l7)))
    return h, c
