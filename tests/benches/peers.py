"""The same work in PyTorch: Langevin dynamics with the exact score of a mixture, eager, one line a measurement.

    python -m pip install -r tests/benches/requirements.txt
    cargo xtask bench --peers

Two threads, single precision, noise by torch's own generator.
"""

import time

import torch

torch.set_num_threads(2)
MEANS = torch.tensor([[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]])
LOG_WEIGHTS = torch.tensor([0.5, 0.3, 0.2]).log()
VARIANCE = 0.25


def score(x):
    """The gradient of log sum_k w_k N(x; m_k, s^2 I): each centre pulls by its posterior weight."""
    apart = MEANS - x[:, None, :]
    posterior = torch.softmax(LOG_WEIGHTS - apart.square().sum(2) / (2 * VARIANCE), 1)
    return (posterior[:, :, None] * apart).sum(1) / VARIANCE


@torch.no_grad()
def seconds(chains, steps, alpha=0.01):
    x = torch.randn(chains, 2)
    begun = time.perf_counter()
    for _ in range(steps):
        x = x + alpha / 2 * score(x) + alpha**0.5 * torch.randn_like(x)
    assert torch.isfinite(x).all()
    return time.perf_counter() - begun


if __name__ == "__main__":
    seconds(1000, 50)
    for chains, steps in [(10_000, 1000), (20_000, 1000), (10_000, 2000)]:
        print(f"langevin, {chains} chains x {steps} steps\t{seconds(chains, steps):.4f}", flush=True)
