"""GRU-D (Che et al. 2018): a GRU for values that are missing at times; what was seen last decays with the time since.

x is values and mask side by side, 1 where the value was seen; a missing one may be anything, NaN too. `mean` is frozen, 0 for
standardised data: `layer.initialize(mean=lambda shape: means)` sets it. v is the last value less the mean, so that a feature
never seen stands at its mean (the paper leaves that open); d is the time that had gone by since a feature was seen.

As in the paper's equation of delta it is 0 at the first step, before which no time goes by, whatever elapsed[0] says (in the
reverse direction: at a row's last step, which is read first).
"""

from recell.language.cell import cell
from recell.language.functions import exp, relu, sigmoid, split, tanh, where


@cell(sizes={"v": "input/2", "d": "input/2"})
def GRUD(p, x, h, v, d, t, dt):
    value, mask = split(x, 2)
    seen = mask > 0
    delta = where(t == 0, 0, d + dt)
    gamma_x = exp(-relu(p.w_gamma_x * delta + p.b_gamma_x))
    gamma_h = exp(-relu(p.W_gamma_h @ delta + p.b_gamma_h))
    mean = p.vector("mean", trainable=False, init=0.0)
    filled = where(seen, value, mean + gamma_x * v)
    h = gamma_h * h
    z = sigmoid(p.W_z @ filled + p.U_z @ h + p.V_z @ mask + p.b_z)
    r = sigmoid(p.W_r @ filled + p.U_r @ h + p.V_r @ mask + p.b_r)
    n = tanh(p.W_n @ filled + p.U_n @ (r * h) + p.V_n @ mask + p.b_n)
    h = (1 - z) * h + z * n
    return h, where(seen, value - mean, v), where(seen, 0, delta)
