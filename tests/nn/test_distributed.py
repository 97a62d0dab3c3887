"""Two processes under torch's DistributedDataParallel: the gradients are those of one process with both batches."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import recell.nn as rnn

rank, path = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
torch.manual_seed(3)
module = torch.nn.ModuleList([rnn.LSTM(5, 7, 2, bidirectional=True), rnn.Recurrent("GRU", 14, 6)])
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = module
    def forward(self, x, lengths):
        return self.layers[1](self.layers[0](x, lengths=lengths)[0])[0]
model = Model()
x, lengths = torch.randn(6, 8, 5), torch.tensor([6, 2, 5, 1, 4, 0, 3, 6])
whole = torch.autograd.grad(model(x, lengths).square().mean(), model.parameters())
own = slice(4 * rank, 4 * rank + 4)
parallel = DistributedDataParallel(model)
for _ in range(2):  # the second pass runs over rebuilt buckets
    model.zero_grad()
    parallel(x[:, own], lengths[own]).square().mean().backward()
    for found, expected in zip([p.grad for p in model.parameters()], whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_gradients_are_averaged_over_two_processes(tmp_path):
    ranks = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(rank), str(tmp_path / "meeting")], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=120)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
