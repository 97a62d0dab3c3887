"""IRNN (Le, Jaitly & Hinton 2015): a relu network whose recurrent matrix starts as the identity.

Biases start at zero, the other weights normal with deviation 0.001. For speech the paper scales the identity:
`Recurrent("IRNN", 64, 128).initialize(U=lambda shape: 0.01 * numpy.eye(*shape))`.
"""

from recell.language.cell import cell
from recell.language.functions import relu


def small_normal(shape, generator):
    return generator.normal(scale=0.001, size=shape)


@cell
def IRNN(p, x, h):
    h = relu(p.matrix("W", init=small_normal) @ x + p.matrix("U", init="identity") @ h + p.vector("b", init=0.0))
    return h
