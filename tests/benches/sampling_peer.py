"""The sampling of `sampling.rs` in PyTorch, eager, single precision, noise by torch's own generator.

    python -m pip install -r tests/benches/requirements.txt
    cargo xtask bench sampling --peers

With `--compile` a step is compiled, noise and all. Answers the same questions, but for chunks, which are answered by "-"; threads as
OMP_NUM_THREADS says.
"""

import sys
import time

import torch
from common import layers, memory, serve, symmetric

MEANS = torch.tensor([[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]])
LOG_WEIGHTS = torch.tensor([0.5, 0.3, 0.2]).log()
VARIANCE = 0.25
SIGMAS, LEVELS = (1.0, 0.1), 10
ALPHA, EPSILON = 0.01, 5e-5
CHECKED = 16


def exact(x, sigma):
    """The gradient of log sum_k w_k N(x; m_k, s^2 I): each centre pulls by its posterior weight."""
    apart = MEANS - x[:, None, :]
    posterior = torch.softmax(LOG_WEIGHTS - apart.square().sum(2) / (2 * VARIANCE), 1)
    return (posterior[:, :, None] * apart).sum(1) / VARIANCE


def mlp():
    """A network over σ."""
    widths = [2, 128, 128, 2]
    linear = [torch.nn.Linear(*pair) for pair in zip(widths, widths[1:])]
    with torch.no_grad():
        for layer, pair in zip(linear, layers(widths)):
            for parameter, numbers in zip((layer.weight, layer.bias), pair):
                parameter.copy_(torch.from_numpy(numbers))
    act = torch.nn.SiLU
    net = torch.nn.Sequential(linear[0], act(), linear[1], act(), linear[2])
    return lambda x, sigma: net(x) / sigma


def ladder():
    """σ_1 to σ_L."""
    first, last = SIGMAS
    return [first * (last / first) ** (i / (LEVELS - 1)) for i in range(LEVELS)]


class Sampling:
    """Chains to be drawn."""

    def __init__(self, kind, compiled):
        self.score = {"exact": lambda: exact, "mlp": mlp}[kind]()
        sigmas = ladder() if kind == "mlp" else [1.0]
        size = lambda sigma: EPSILON * (sigma / sigmas[-1]) ** 2 if kind == "mlp" else ALPHA
        self.levels = [tuple(map(torch.tensor, (sigma, size(sigma) / 2, size(sigma) ** 0.5))) for sigma in sigmas]
        self.step = torch.compile(self.langevin, dynamic=False) if compiled else self.langevin

    def langevin(self, x, sigma, drift, diffusion):
        return x + drift * self.score(x, sigma) + diffusion * torch.randn_like(x)

    @torch.no_grad()
    def time(self, chains, steps):
        """Seconds that the chains take, and their mean ‖x‖²."""
        x = torch.zeros(chains, 2)
        # The first compiles, for as long as that takes.
        self.step(x, *self.levels[0])
        begun = time.perf_counter()
        for level in self.levels:
            for _ in range(steps // len(self.levels)):
                x = self.step(x, *level)
        seconds = time.perf_counter() - begun
        return [seconds, x.square().sum(1).mean().item()]

    @torch.no_grad()
    def check(self):
        """Scores at rows that stein makes too, at the first level and the last."""
        x = torch.from_numpy(symmetric(0, (CHECKED, 2), 3.0))
        ends = self.levels[0], self.levels[-1]
        return [number for sigma, *_ in ends for number in self.score(x, sigma).flatten().tolist()]


if __name__ == "__main__":
    compiled = "--compile" in sys.argv
    known = {}

    def answer(question, kind, chains, steps, chunk):
        chains, steps = int(chains), int(steps)
        if int(chunk) < chains:
            return None
        if kind not in known:
            known[kind] = Sampling(kind, compiled)
        sampling = known[kind]
        time = lambda: sampling.time(chains, steps)
        return {"time": time, "check": sampling.check, "memory": lambda: memory(time)}[question]()

    serve(answer)
