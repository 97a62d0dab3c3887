"""AntisymmetricRNN (Chang et al. 2019), ungated: a step of forward Euler of an equation that keeps what it holds.

The eigenvalues of U - U^T are imaginary, so that states neither grow nor fade; the diffusion gamma makes up for the step's
error. The paper tunes gamma and the step epsilon for each task.
"""

from recell.language.cell import cell
from recell.language.functions import tanh


@cell
def AntisymmetricRNN(p, x, h, *, gamma=0.1, epsilon=0.2):
    h = h + epsilon * tanh((p.U - p.U.T) @ h - gamma * h + p.W @ x + p.b)
    return h
