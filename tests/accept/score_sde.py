"""The score SDE's own networks, to be held against stein: make CHECKOUT NETWORK SIGMAS, or load CHECKOUT NETWORK SIGMAS FILE.

NETWORK is a `[network]` table as JSON, SIGMAS a JSON list of levels, SIGMAS[i] in the unit of data in [0, 1]. `make` writes checkpoints as
the authors save them, all weights times 1, 3 and 0.1: states-S.pth; points.npy; and the scores there by the authors' functions,
last-S-I.npy and average-S-I.npy for the I-th level. `load` reads a safetensors file into a fresh module, all names and shapes as they must
be, and compares weights and scores with those of the average, times 1.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent.parent / "parity"))
sys.dont_write_bytecode = True
from score_sde import Original

SIZE, LEVELS, EXAMPLES = 8, 12, 3
SCALES = ["1", "3", "0.1"]


class Case:
    def __init__(self, checkout, network, sigmas):
        self.original, self.network, self.sigmas = Original(checkout), json.loads(network), json.loads(sigmas)
        # Where norms have 32 groups by `ncsnpp`'s rule, its `ddpm` blocks are DDPM's: so the plain module is held against it.
        plain = self.network["channels"] >= 128
        self.module = self.original.build(self.network, [1, SIZE, SIZE], LEVELS, plain)

    def scores(self, points, name):
        for i, sigma in enumerate(self.sigmas):
            x = torch.from_numpy(points[i]).view(-1, 1, SIZE, SIZE)
            with torch.no_grad():
                score = self.original.score(self.module, self.network, x, torch.full([len(x)], float(sigma)), LEVELS)
            np.save(f"{name}-{i}.npy", score.flatten(1).numpy().astype("f4"))


def times(weights, factor):
    """All that is trained, so many times."""
    return {name: w * (1 if name in ["sigmas", "all_modules.0.W"] else factor) for name, w in weights.items()}


def make(case):
    rng = np.random.default_rng(7)
    shape = [EXAMPLES, SIZE * SIZE]
    points = [(rng.uniform(0, 1, shape) + sigma * rng.standard_normal(shape)).astype("f4") for sigma in case.sigmas]
    for i, x in enumerate(points):
        np.save(f"points-{i}.npy", x)
    drawn = {name: w.clone() for name, w in case.module.state_dict().items()}
    parallel = torch.nn.DataParallel(case.module)
    of_ema = importlib.import_module("models.ema").ExponentialMovingAverage
    optimizer = torch.optim.Adam(case.module.parameters())
    for scale in SCALES:
        trained = times(drawn, float(scale))
        case.module.load_state_dict(times(trained, 0.7))
        ema = of_ema(case.module.parameters(), decay=0.9)
        case.module.load_state_dict(trained)
        case.scores(points, f"last-{scale}")
        model = {name: w.clone() for name, w in parallel.state_dict().items()}
        saved = {"optimizer": optimizer.state_dict(), "model": model, "ema": ema.state_dict(), "step": 40}
        torch.save(saved, f"states-{scale}.pth")
        ema.copy_to(case.module.parameters())
        case.scores(points, f"average-{scale}")
        if scale == "1":
            torch.save(case.module.state_dict(), "average.pth")


def load(case, path):
    case.module.load_state_dict(load_file(path))
    expected = torch.load("average.pth")
    for name, weight in case.module.state_dict().items():
        if name == "sigmas":
            assert torch.allclose(weight.float(), expected[name].float(), rtol=1e-6, atol=0), name
        else:
            assert torch.equal(weight, expected[name]), name
    points = [np.load(f"points-{i}.npy") for i in range(len(case.sigmas))]
    case.scores(points, "back")
    for i in range(len(case.sigmas)):
        ours, theirs = np.load(f"back-{i}.npy"), np.load(f"average-1-{i}.npy")
        assert np.abs(ours - theirs).max() <= 1e-6 * np.abs(theirs).max(), i


if __name__ == "__main__":
    task, checkout, network, sigmas, *files = sys.argv[1:]
    {"make": make, "load": load}[task](Case(checkout, network, sigmas), *files)
