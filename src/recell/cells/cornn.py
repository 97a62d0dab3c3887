"""Coupled oscillatory RNN (Rusch & Mishra 2021): damped oscillators y of velocity z that drive one another; coRNN.

Implicit-explicit: the velocity's step reads what was, the position's the new velocity; damping explicit, as in the authors'
code. dt, gamma (squared frequency) and epsilon (damping) are tuned for each task: here those of sequential MNIST.
"""

from recell.language.cell import cell
from recell.language.functions import tanh


@cell
def CoRNN(p, x, y, z, *, dt=0.042, gamma=2.7, epsilon=4.7):
    z = z + dt * (tanh(p.W @ x + p.U_y @ y + p.U_z @ z + p.b) - gamma * y - epsilon * z)
    y = y + dt * z
    return y, z
