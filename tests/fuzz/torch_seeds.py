"""The seeds of the target `torch`: one state in both of PyTorch's containers, and in the newest protocol.

    python tests/fuzz/torch_seeds.py

Written with PyTorch 2; `crates/stein-record/src/torch/tests.rs` knows what is in them.
"""

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy
import torch

folder = Path(__file__).parent / "seeds" / "torch"
folder.mkdir(exist_ok=True)

whole = torch.arange(12.0)
network = OrderedDict(
    [
        ("module.weight", torch.nn.Parameter(whole[:6].reshape(2, 3) / 2)),
        ("module.transposed", whole[6:].reshape(2, 3).t()),
        ("module.tied", whole[6:]),
        ("module.expanded", torch.tensor([7.5]).expand(2, 2)),
        ("module.scalar", torch.tensor(-1.25)),
        ("module.empty", torch.zeros(0, 3)),
        ("module.half", torch.tensor([1.5, -(2.0**-24), float("inf")]).half()),
        ("module.bfloat", torch.tensor([1.5, -3.0]).bfloat16()),
        ("module.double", torch.tensor([0.1, -2.0], dtype=torch.float64)),
        ("module.long", torch.tensor([1, -(2**40)])),
        ("module.byte", torch.tensor([0, 255], dtype=torch.uint8)),
        ("module.bool", torch.tensor([True, False])),
    ]
)
# As torch.nn.Module.state_dict has it.
network._metadata = OrderedDict([("", {"version": 1})])
layer = torch.nn.Linear(1, 1)
optimizer = torch.optim.Adam(layer.parameters())
layer(torch.ones(1)).backward()
optimizer.step()
average = {"weight": torch.full((2, 3), 0.25)}
about = argparse.Namespace(config="x", scalar=numpy.float64(0.5), device=torch.device("cpu"), size=torch.Size([2, 3]))
states = [network, optimizer.state_dict(), 3, 40, about, average]

torch.save(states, folder / "zip")
torch.save(states, folder / "legacy", _use_new_zipfile_serialization=False)
torch.save(states, folder / "protocol-5", pickle_protocol=5)
