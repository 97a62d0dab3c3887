"""Structurally constrained recurrent network (Mikolov et al. 2015): a slow context beside a fast hidden state."""

from recell.language.cell import cell
from recell.language.functions import sigmoid


@cell(sizes={"s": "context"}, defaults={"context": 40}, output=("h", "s"))
def SCRN(p, x, h, s, *, alpha=0.95):
    s = (1 - alpha) * (p.B @ x) + alpha * s
    h = sigmoid(p.P @ s + p.A @ x + p.R @ h)
    return h, s
