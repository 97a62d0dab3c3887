"""Jordan, "Serial order" (1986): the state is the network's own last output; the logits are what is read."""

from recell.language.cell import cell
from recell.language.functions import softmax, tanh


@cell(sizes={"y": "output"}, output="z")
def Jordan(p, x, y, *, activation=softmax):
    h = tanh(p.W @ x + p.U @ y + p.b)
    z = p.V @ h + p.c
    return activation(z)
