"""From a step graph to kernels: the derived backward step, the plan, the backends."""
