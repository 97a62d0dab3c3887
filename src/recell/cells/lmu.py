"""Legendre memory unit (Voelker, Kajic & Eliasmith 2019): a memory that holds the last theta steps of one number, u.

m are the coefficients of Legendre polynomials of degree below `order` over that window; A and B are frozen, discretised by
zero-order hold. Sizes as for permuted sequential MNIST: `LMU(theta=100)` and `sizes={"order": 32}` set others. The start is
that of the authors' code (their normal distributions are truncated).
"""

from functools import partial

import numpy as np

from recell.language.cell import cell
from recell.language.functions import tanh, total


def matrix_exponential(a):
    """e^a: a Taylor series of a / 2^k, whose norm is below a half, then k squarings."""
    squarings = max(0, int(np.ceil(np.log2(np.abs(a).sum(0).max() + 1e-300))) + 1)
    a = a / 2.0**squarings
    result = term = np.eye(len(a))
    for k in range(1, 19):
        term = term @ a / k
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return result


def held(order, theta):
    """A (order, order) and B (order,) of one step, u being constant between steps."""
    i, j = np.arange(order)[:, None], np.arange(order)
    continuous = np.zeros((order + 1, order + 1))  # (A B; 0 0): its exponential holds both
    continuous[:order, :order] = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    continuous[:order, order] = (2 * j + 1) * (-1.0) ** j
    step = matrix_exponential(continuous / theta)
    return step[:order, :order], step[:order, order]


def transition(shape, theta):
    return held(shape[0], theta)[0]


def entry(shape, theta):
    return held(shape[0], theta)[1]


def lecun_uniform(shape, generator):
    """Of variance 1 / fan-in: an encoder reads all units."""
    bound = np.sqrt(3 / shape[0])
    return generator.uniform(-bound, bound, shape)


def glorot_normal(shape, generator):
    return generator.normal(scale=np.sqrt(2 / sum(shape)), size=shape)


@cell(sizes={"m": "order"}, defaults={"order": 256})
def LMU(p, x, h, m, *, theta=784.0):
    e_x, e_h = p.vector("e_x", init=lecun_uniform), p.vector("e_h", init=lecun_uniform)
    u = total(e_x * x) + total(e_h * h) + total(p.vector("e_m", init=0.0) * m)
    a = p.matrix("A", trainable=False, init=partial(transition, theta=theta))
    m = a @ m + p.vector("B", trainable=False, init=partial(entry, theta=theta)) * u
    w_x, w_h, w_m = (p.matrix(name, init=glorot_normal) for name in ("W_x", "W_h", "W_m"))
    h = tanh(w_x @ x + w_h @ h + w_m @ m)
    return h, m
