"""Long expressive memory (Rusch et al. 2022): two states, each with time steps of its own that it learns; LEM.

y, the output, reads the new z. tanh and dt = 1 as in the authors' code; dt is the longest step, no elapsed time.
"""

from recell.language.cell import cell
from recell.language.functions import sigmoid, tanh


@cell
def LEM(p, x, y, z, *, dt=1.0):
    step_z = dt * sigmoid(p.W_1 @ x + p.U_1 @ y + p.b_1)
    step_y = dt * sigmoid(p.W_2 @ x + p.U_2 @ y + p.b_2)
    z = (1 - step_z) * z + step_z * tanh(p.W_z @ x + p.U_z @ y + p.b_z)
    y = (1 - step_y) * y + step_y * tanh(p.W_y @ x + p.U_y @ z + p.b_y)
    return y, z
