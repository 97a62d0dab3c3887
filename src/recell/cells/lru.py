"""Linear recurrent unit (Orvieto et al. 2023): a diagonal complex linear recurrence, here 2x2 rotations of two real states.

The eigenvalues exp(-exp(nu_log) + i exp(theta_log)) start evenly on the ring from r_min to r_max, phases up to max_phase; the
normaliser exp(gamma_log) starts at sqrt(1 - |lambda|^2). y is as wide as x.
"""

from functools import partial

import numpy as np

from recell.language.cell import cell
from recell.language.functions import cos, exp, sin


def ring(shape, generator, r_min, r_max):
    """nu_log of moduli that lie evenly by area between r_min and r_max (lemma 3.2 of the paper)."""
    return np.log(-0.5 * np.log(generator.uniform(r_min**2, r_max**2, shape)))


def phases(shape, generator, max_phase):
    """theta_log of phases that lie evenly between 0 and max_phase."""
    return np.log(generator.uniform(0, max_phase, shape))


def normaliser(shape, nu_log):
    """gamma_log at which white noise leaves a state as strong as B makes it: log sqrt(1 - |lambda|^2)."""
    return 0.5 * np.log(-np.expm1(-2 * np.exp(nu_log.astype(np.float64))))


def normal(shape, generator, width=1):
    """Normal with the variance 1 / (width * columns); a vector's is 1 / width."""
    return generator.normal(size=shape) / np.sqrt(width * np.prod(shape[1:]))


@cell(sizes={"y": "input"}, output="y")
def LRU(p, x, h_re, h_im, *, r_min=0.0, r_max=1.0, max_phase=6.28):
    modulus = exp(-exp(p.vector("nu_log", init=partial(ring, r_min=r_min, r_max=r_max))))
    phase = exp(p.vector("theta_log", init=partial(phases, max_phase=max_phase)))
    gamma = exp(p.vector("gamma_log", init=normaliser))
    re, im = modulus * cos(phase), modulus * sin(phase)
    u_re = gamma * (p.matrix("B_re", init=partial(normal, width=2)) @ x)
    u_im = gamma * (p.matrix("B_im", init=partial(normal, width=2)) @ x)
    h_re, h_im = re * h_re - im * h_im + u_re, im * h_re + re * h_im + u_im
    y = p.matrix("C_re", init=normal) @ h_re - p.matrix("C_im", init=normal) @ h_im + p.vector("D", init=normal) * x
    return h_re, h_im
