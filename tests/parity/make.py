"""Makes the parity files: what the authors' own networks put out, and the weights with which they do.

    python make.py NCSN NCSNV2           writes *.safetensors beside this file
    python make.py NCSN NCSNV2 --check   compares those that are there with what the authors' code gives

NCSN and NCSNV2 are checkouts of github.com/ermongroup/ncsn and github.com/ermongroup/ncsnv2. Weights are PyTorch's initial ones;
outputs are computed in float64 from those as they are rounded to float32, and float32 must agree where it can. What is easily got wrong is done
wrong on purpose, and must be seen.
"""

import importlib
import json
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

FOLDER = Path(__file__).parent
SCALES = [1.0, 10.0, 3.0, 0.1]
# Of float32 against float64: what a reader in float32 can be asked for is 1e-4.
ROUNDING = 2e-5
# What a mistake must make of an output, at least.
SEEN = 1e-2

# name: repository, module, class, [network], image [C, H, W], σ₁, L
CASES = {
    "ncsn-28": ("ncsn", "models.cond_refinenet_dilated", "CondRefineNetDilated", {"kind": "ncsn", "channels": 4}, [1, 28, 28], 1.0, 10),
    "ncsn-32": ("ncsn", "models.cond_refinenet_dilated", "CondRefineNetDilated", {"kind": "ncsn", "channels": 4}, [2, 32, 32], 1.0, 10),
    "ncsnv2-28": ("ncsnv2", "models.ncsnv2", "NCSNv2", {"kind": "ncsnv2", "channels": 4}, [1, 28, 28], 50.0, 232),
    "ncsnv2-32": ("ncsnv2", "models.ncsnv2", "NCSNv2", {"kind": "ncsnv2", "channels": 4}, [2, 32, 32], 50.0, 232),
    "ncsnv2-deeper": ("ncsnv2", "models.ncsnv2", "NCSNv2Deeper", {"kind": "ncsnv2", "channels": 2, "depth": "deeper"}, [1, 48, 48], 90.0, 500),
    "ncsnv2-deepest": ("ncsnv2", "models.ncsnv2", "NCSNv2Deepest", {"kind": "ncsnv2", "channels": 2, "depth": "deepest"}, [1, 48, 48], 90.0, 500),
}
SIGMA_MIN = 0.01
EXAMPLES = 2


def ladder(sigma_max, levels):
    return np.exp(np.linspace(np.log(sigma_max), np.log(SIGMA_MIN), levels))


def build(checkout, module, name, network, image, sigma_max, levels):
    """The authors' module, weights freshly drawn."""
    for known in [m for m in sys.modules if m == "models" or m.startswith("models.")]:
        del sys.modules[known]  # both repositories call theirs so
    sys.path.insert(0, str(checkout))
    try:
        architecture = getattr(importlib.import_module(module), name)
    finally:
        sys.path.pop(0)
    data = SimpleNamespace(channels=image[0], image_size=image[1], logit_transform=False, rescaled=False)
    model = SimpleNamespace(
        ngf=network["channels"], num_classes=levels, nonlinearity="elu", normalization="InstanceNorm++", spec_norm=False,
        sigma_dist="geometric", sigma_begin=sigma_max, sigma_end=SIGMA_MIN,
    )
    return architecture(SimpleNamespace(data=data, model=model, device="cpu")).eval()


def scaled(module, weights, scale):
    """Loads the parameters times `scale`; the ladder stays as it is."""
    parameters = {name for name, _ in module.named_parameters()}
    module.load_state_dict({name: w * scale if name in parameters else w for name, w in weights.items()})
    return module


def outputs(module, weights, x, label, scale, dtype):
    weights = {name: w.to(dtype) for name, w in weights.items()}
    torch.set_default_dtype(dtype)  # the fusion's sum begins with zeros of it
    with torch.no_grad():
        return scaled(module.to(dtype), weights, scale)(x.to(dtype), label)


def apart(a, b):
    return float((a - b).abs().max() / b.abs().max())


@contextmanager
def replaced(owner, name, by):
    """Something of PyTorch's replaced by what somebody might write."""
    before = getattr(owner, name)
    setattr(owner, name, by(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def pooled(kind):
    """A forward that pools in another way over the same windows."""
    return lambda before: lambda self, x: kind(x, 5, 1, 2)


MISTAKES = {
    "corners not aligned": (F, "interpolate", lambda f: lambda h, size, mode, align_corners: f(h, size=size, mode=mode, align_corners=False)),
    "biased variance": (torch, "var", lambda f: lambda x, dim, keepdim: f(x, dim=dim, keepdim=keepdim, unbiased=False)),
    "mean for maximum": (torch.nn.MaxPool2d, "forward", pooled(F.avg_pool2d)),
    "maximum for mean": (torch.nn.AvgPool2d, "forward", pooled(F.max_pool2d)),
    "padding not counted": (torch.nn.AvgPool2d, "forward", pooled(partial(F.avg_pool2d, count_include_pad=False))),
}


def mistakes(repository, module, weights, x, label, exact):
    """Shows that each mistake would be seen."""
    of_pools = {"ncsn": "mean for maximum", "ncsnv2": ("maximum for mean", "padding not counted")}[repository]
    for mistake, (owner, name, by) in MISTAKES.items():
        if mistake in of_pools:
            continue  # there is no such pool
        with replaced(owner, name, by):
            error = apart(outputs(module, weights, x, label, 1.0, torch.float64), exact)
        print(f"  {mistake}: off by {error:.1e}")
        assert error > SEEN, "the file would not tell"
    if repository == "ncsn":
        error = apart(outputs(module, weights, x, (label + 1) % 10, 1.0, torch.float64), exact)
        print(f"  another level: off by {error:.1e}")
        assert error > SEEN, "the file would not tell"


def tensors(repository, module, image, sigmas, x, label, weights):
    """A file's tensors."""
    found = {"x": x, "label": label.float(), "sigma": torch.tensor(sigmas).float()[label]}
    for scale in SCALES:
        exact = outputs(module, weights, x, label, scale, torch.float64)
        error = apart(outputs(module, weights, x, label, scale, torch.float32).double(), exact)
        print(f"  times {scale:4}: largest {exact.abs().max():.3e}, float32 off by {error:.1e}")
        # Without norms in the refine blocks ten times the weights overflow in the last norm's variance, in the authors' float32 too.
        overflows = repository == "ncsnv2" and scale == 10
        assert (error < ROUNDING) != overflows, "float32 does not agree with float64, or does where it could not"
        found["output" if scale == 1 else f"output.{scale:g}"] = exact.float()
        if scale == 1:
            mistakes(repository, module, weights, x, label, exact)
    return found | {f"network.{name}": w for name, w in weights.items()}


def main(ncsn, ncsnv2, check):
    for name, (repository, module, architecture, network, image, sigma_max, levels) in CASES.items():
        print(name)
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(len(name) + levels)
        path = FOLDER / f"{name}.safetensors"
        checkout = {"ncsn": ncsn, "ncsnv2": ncsnv2}[repository]
        original = build(checkout, module, architecture, network, image, sigma_max, levels)
        sigmas = ladder(sigma_max, levels)
        if check:
            stored = {key: torch.from_numpy(value) for key, value in load_file(path).items()}
            x, label = stored["x"], stored["label"].long()
            weights = {key.removeprefix("network."): w for key, w in stored.items() if key.startswith("network.")}
        else:
            # The ends of the ladder and what lies between; out of order.
            label = torch.linspace(0, levels - 1, EXAMPLES).round().long().roll(1)
            shape = [EXAMPLES, *image]
            x = torch.rand(shape) + torch.tensor(sigmas).float()[label].view(-1, 1, 1, 1) * torch.randn(shape)
            weights = {key: w.clone() for key, w in original.state_dict().items()}
        found = tensors(repository, original, image, sigmas, x, label, weights)
        if check:
            worst = max(apart(found[key].double(), stored[key].double()) for key in stored)
            assert worst < 1e-6, f"{name}: off by {worst}"
            continue
        about = {"network": json.dumps(network), "sigmas": json.dumps(list(sigmas)), "image": json.dumps(image), "source": f"{repository} {architecture}, PyTorch {torch.__version__.split('+')[0]}, float64"}
        save_file({key: np.ascontiguousarray(value.numpy()) for key, value in found.items()}, path, metadata=about)
        with safe_open(path, "numpy") as file:
            print(f"  {path.name}: {path.stat().st_size / 1000:.0f} kB, {len(file.keys())} tensors")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:] if argument != "--check"]
    if len(paths) != 2:
        sys.exit(__doc__)
    main(*paths, check="--check" in sys.argv)
