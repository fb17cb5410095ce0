"""The authors' own NCSN or NCSNv2, to be held against stein: make REPOSITORY CHECKOUT, or load REPOSITORY CHECKOUT FILE.

`make` draws weights and writes them as the authors save them, in both of PyTorch's containers: states.pth and legacy.pth; and
points.npy, with the outputs there at each of some levels, last-L.npy and average-L.npy. `load` reads a safetensors file into a fresh
module, all names and shapes as they must be, and compares weights and outputs with those of the average.
"""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import torch
from safetensors.torch import load_file

CHANNELS, SIZE = 4, 8
LADDERS = {"ncsn": (1.0, 0.01, 10), "ncsnv2": (50.0, 0.01, 12)}
NAMES = {"ncsn": ("models.cond_refinenet_dilated", "CondRefineNetDilated"), "ncsnv2": ("models.ncsnv2", "NCSNv2")}
EXAMPLES = 6


def module(repository, checkout):
    sys.path.insert(0, checkout)
    file, name = NAMES[repository]
    first, last, levels = LADDERS[repository]
    data = SimpleNamespace(channels=1, image_size=SIZE, logit_transform=False, rescaled=False)
    model = SimpleNamespace(
        ngf=CHANNELS, num_classes=levels, nonlinearity="elu", normalization="InstanceNorm++", spec_norm=False,
        sigma_dist="geometric", sigma_begin=first, sigma_end=last,
    )
    return getattr(importlib.import_module(file), name)(SimpleNamespace(data=data, model=model, device="cpu")).eval()


def outputs(network, points, label):
    x = torch.from_numpy(points).view(-1, 1, SIZE, SIZE)
    with torch.no_grad():
        return network(x, torch.full([len(x)], label)).flatten(1).numpy()


def labels(repository):
    levels = LADDERS[repository][2]
    return [0, levels // 2, levels - 1]


def make(repository, checkout):
    torch.manual_seed(11)
    network = module(repository, checkout)
    points = np.random.default_rng(7).uniform(0, 1, [EXAMPLES, SIZE * SIZE]).astype("f4")
    np.save("points.npy", points)
    # Away from what every module begins with.
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    # As the authors' EMAHelper has it: parameters alone, buffers not.
    average = {name: (0.7 * weight).detach().clone() for name, weight in network.named_parameters()}
    parallel = torch.nn.DataParallel(network)
    optimizer = torch.optim.Adam(parallel.parameters())
    network(torch.from_numpy(points).view(-1, 1, SIZE, SIZE), torch.zeros(EXAMPLES, dtype=torch.long)).sum().backward()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    optimizer.step()
    network.load_state_dict(before)
    states = [parallel.state_dict(), optimizer.state_dict()]
    if repository == "ncsnv2":
        states += [3, 40, average]
    torch.save(states, "states.pth")
    torch.save(states, "legacy.pth", _use_new_zipfile_serialization=False)
    for label in labels(repository):
        np.save(f"last-{label}.npy", outputs(network, points, label))
    network.load_state_dict(average if repository == "ncsnv2" else before, strict=False)
    for label in labels(repository):
        np.save(f"average-{label}.npy", outputs(network, points, label))
    torch.save(network.state_dict(), "average.pth")


def load(repository, checkout, path):
    network = module(repository, checkout)
    network.load_state_dict(load_file(path))
    expected = torch.load("average.pth")
    for name, weight in network.state_dict().items():
        if name == "sigmas":
            assert torch.allclose(weight, expected[name], rtol=1e-6, atol=0), name
        else:
            assert torch.equal(weight, expected[name]), name
    points = np.load("points.npy")
    for label in labels(repository):
        ours, theirs = outputs(network, points, label), np.load(f"average-{label}.npy")
        assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max(), label


if __name__ == "__main__":
    {"make": make, "load": load}[sys.argv[1]](*sys.argv[2:])
