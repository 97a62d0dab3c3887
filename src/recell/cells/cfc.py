"""Closed-form continuous-time network (Hasani et al. 2022), gated: reads the time dt that went by since the step before.

x(t) = sigma(-f t) g + (1 - sigma(-f t)) k, with the paper's h named k here; a backbone of one layer is shared by f, g and k. As
in the authors' code f t is a * dt + b, the backbone's activation LeCun's tanh, and matrices start by Glorot's rule, uniform.
There W and U are one matrix, drawn with the smaller bound of both widths together, and each task has a gain of its own; here W
and U start each by its own shape, with the gain 1.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell(sizes={"z": "backbone"}, defaults={"backbone": 128})
def CfC(p, x, h, dt):
    z = 1.7159 * tanh(0.666 * (p.matrix("W", init="glorot") @ x + p.matrix("U", init="glorot") @ h + p.b))
    a = p.matrix("V_a", init="glorot") @ z + p.b_a
    b = p.matrix("V_b", init="glorot") @ z + p.b_b
    g = tanh(p.matrix("V_g", init="glorot") @ z + p.b_g)
    k = tanh(p.matrix("V_k", init="glorot") @ z + p.b_k)
    s = sigmoid(-(a * dt + b))
    h = s * g + (1 - s) * k
    return h
