"""The training steps of `steps.rs` in PyTorch, eager, single precision, with what that has: derivatives in x by double backward.

    python -m pip install -r tests/benches/requirements.txt
    cargo xtask bench steps --peers

With `--compile` the loss of `denoising` is compiled, of networks that are no energies; torch.compile does not take double backward,
so the others are answered by "-".

Answers the same questions. The losses are written as in published code (ermongroup/sliced_score_matching, ermongroup/ncsn):
`create_graph=True`, then `loss.backward()` and Adam as they are by default; threads as OMP_NUM_THREADS says.
"""

import sys
import time
from pathlib import Path

import common
import torch
from ncsn_peer import Ncsn
from torch.autograd import grad
from torch.nn.functional import silu

sys.path.append(str(Path(__file__).parents[2] / "crates/stein/examples"))
from unet import Unet  # noqa: E402

SIGMA = 0.5
WARM, TIMED = (3, 0.05), (100, 0.15)
CHECKED = 3
ACTIVATIONS = {"softplus": torch.nn.Softplus, "silu": torch.nn.SiLU}


def denoising(score, x, z, v):
    """½‖s(x + σz) + z/σ‖²."""
    return (score(x + SIGMA * z) + z / SIGMA).square().sum(1) / 2


def sliced(score, x, z, v):
    """vᵀ∇s v + ½(vᵀs)²."""
    s, curvature = along(score, x, v)
    return curvature + (v * s).sum(1).square() / 2


def sliced_variance_reduced(score, x, z, v):
    """vᵀ∇s v + ½‖s‖²."""
    s, curvature = along(score, x, v)
    return curvature + s.square().sum(1) / 2


def along(score, x, v):
    """s and vᵀ∇s v."""
    x = x.requires_grad_()
    s = score(x)
    return s, (v * grad((v * s).sum(), x, create_graph=True)[0]).sum(1)


def implicit_exact(score, x, z, v):
    """tr ∇s + ½‖s‖², a backward pass for each dimension."""
    x = x.requires_grad_()
    s = score(x)
    trace = sum(grad(s[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(x.shape[1]))
    return trace + s.square().sum(1) / 2


OBJECTIVES = {
    "denoising": denoising,
    "sliced": sliced,
    "sliced-variance-reduced": sliced_variance_reduced,
    "implicit-exact": implicit_exact,
    "implicit-basis": implicit_exact,
}


def score_of_energy(energy):
    def score(x):
        x = x if x.requires_grad else x.requires_grad_()
        return -grad(energy(x).sum(), x, create_graph=True)[0]

    return score


class Residual(torch.nn.Module):
    """Residual blocks x + conv(silu(norm(x))) between two convolutions."""

    def __init__(self, side, channels, blocks=8, groups=8):
        super().__init__()
        conv = lambda inputs, outputs: torch.nn.Conv2d(inputs, outputs, 3, padding=1)
        self.side = side
        self.conv_in, self.conv_out = conv(1, channels), conv(channels, 1)
        self.norms = torch.nn.ModuleList(torch.nn.GroupNorm(groups, channels) for _ in range(blocks))
        self.convs = torch.nn.ModuleList(conv(channels, channels) for _ in range(blocks))

    def forward(self, x):
        h = self.conv_in(x.reshape(-1, 1, self.side, self.side))
        for norm, conv in zip(self.norms, self.convs):
            h = h + conv(silu(norm(h)))
        return self.conv_out(h).flatten(1)


class AtSigma(torch.nn.Module):
    """stein's U-Net as it is by default, at one σ."""

    def __init__(self, side, channels):
        super().__init__()
        table = {"channels": channels, "groups": 8, "blocks": 2, "multipliers": [1, 2]}
        self.unet = Unet({"network": table, "image": [side, side, 1], "classes": None})

    def forward(self, x):
        return self.unet.raw(x, torch.full([len(x), 1], SIGMA), None)


class AtLevel(torch.nn.Module):
    """The network of NCSN for CIFAR-10, at the level of ten from 1 to 0.01 that is nearest to one σ."""

    def __init__(self, side, channels):
        super().__init__()
        self.side = side
        self.net = Ncsn(3, channels, levels=10)
        ladder = torch.logspace(0, -2, 10)
        self.level = (ladder.log() - torch.tensor(SIGMA).log()).abs().argmin()

    def forward(self, x):
        return self.net(x.view(-1, 3, self.side, self.side), self.level.expand(len(x))).flatten(1)


def mlp(d, hidden, outputs, activation):
    widths = [d, hidden, hidden, outputs]
    linear = [torch.nn.Linear(*pair) for pair in zip(widths, widths[1:])]
    act = ACTIVATIONS[activation]
    return torch.nn.Sequential(linear[0], act(), linear[1], act(), linear[2])


class Steps:
    """A network in training."""

    def __init__(self, size, hidden, rows, activation, network, objective):
        images = {"residual": Residual, "unet": AtSigma, "ncsn": AtLevel}
        pixels = {"residual": size**2, "unet": size**2, "ncsn": 3 * size**2}
        energy = network == "energy-mlp"
        if network in images:
            net = images[network](size, hidden)
        else:
            net = mlp(size, hidden, 1 if energy else size, activation)
        fill(net)
        self.score = score_of_energy(net) if energy else net
        self.optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
        self.objective = OBJECTIVES[objective]
        self.rows = symmetric(0, (rows, pixels.get(network, size)), 3**0.5)

    def compile(self):
        """Compiles the loss; False where torch.compile cannot."""
        if self.objective is not denoising or not isinstance(self.score, torch.nn.Module):
            return False
        # Each case is compiled for its own shapes, however many there were before.
        torch._dynamo.config.recompile_limit = 64
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        self.loss = torch.compile(self.loss, dynamic=False)
        return True

    def loss(self, z, v):
        return self.objective(self.score, self.rows.clone(), z, v).mean()

    def step(self, z, v):
        self.optimizer.zero_grad()
        self.loss(z, v).backward()
        self.optimizer.step()

    def random(self):
        """z and v, None where the objective has none."""
        z = torch.randn_like(self.rows) if self.objective is denoising else None
        v = torch.empty_like(self.rows).random_(2).mul_(2).sub_(1) if self.objective in (sliced, sliced_variance_reduced) else None
        return z, v

    def time(self):
        """Seconds of each step."""

        def seconds():
            begun = time.perf_counter()
            self.step(*self.random())
            return time.perf_counter() - begun

        def several(most, budget):
            begun = time.perf_counter()
            times = [seconds()]
            while len(times) < most and time.perf_counter() - begun < budget:
                times.append(seconds())
            return times

        several(*WARM)
        return several(*TIMED)

    def check(self):
        """The loss of a batch that stein makes too, before and after a few steps on it."""
        z = symmetric(1, self.rows.shape, 3**0.5)
        v = torch.where(symmetric(2, self.rows.shape, 1.0) < 0, -1.0, 1.0)
        before = self.loss(z, v).item()
        for _ in range(CHECKED):
            self.step(z, v)
        return [before, self.loss(z, v).item()]


def symmetric(stream, shape, bound):
    return torch.from_numpy(common.symmetric(stream, tuple(shape), bound))


@torch.no_grad()
def fill(net):
    """Parameters as stein's, each from the stream of its name's place in the alphabet."""
    for stream, (name, parameter) in enumerate(sorted(net.named_parameters()), 3):
        if name.endswith("embed.weight"):
            # stein's matrices are linear layers' transposes, and a table is as it is.
            parameter.copy_(symmetric(stream, parameter.T.shape, 2 / len(parameter) ** 0.5).T)
        elif parameter.dim() > 1:
            parameter.copy_(symmetric(stream, parameter.shape, 2 / (parameter.numel() / len(parameter)) ** 0.5))
        else:
            parameter.copy_(symmetric(stream, parameter.shape, 0.5) + (1.0 if name.endswith("weight") else 0.0))


if __name__ == "__main__":
    compiled = "--compile" in sys.argv
    known = {}

    def answer(question, *case):
        # What is compiled is compiled once for all rounds.
        steps = known.get(case) if question == "time" else None
        if steps is None:
            size, hidden, rows, activation, network, objective = case
            steps = Steps(int(size), int(hidden), int(rows), activation, network, objective)
            if compiled and not steps.compile():
                return None
            if compiled and question == "time":
                known[case] = steps
        return {"time": steps.time, "check": steps.check, "memory": lambda: common.memory(steps.time)}[question]()

    common.serve(answer)
