"""The sampling of `sampling.rs` in JAX, jit-compiled, single precision, noise by JAX's own generator.

    python -m pip install -r tests/benches/requirements.txt
    cargo xtask bench sampling --peers

All steps of all levels are one compiled function. Answers the same questions, but for chunks, which are answered by "-".
"""

import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from common import layers, memory, serve, symmetric

# Before the first array.
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_prng_impl", "rbg")

MEANS = jnp.array([[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]])
LOG_WEIGHTS = jnp.log(jnp.array([0.5, 0.3, 0.2]))
VARIANCE = 0.25
SIGMAS, LEVELS = (1.0, 0.1), 10
ALPHA, EPSILON = 0.01, 5e-5
CHECKED = 16
PARAMETERS = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers([2, 128, 128, 2])]


def exact(x, sigma):
    """The gradient of log sum_k w_k N(x; m_k, s^2 I): each centre pulls by its posterior weight."""
    apart = MEANS - x[:, None, :]
    posterior = jax.nn.softmax(LOG_WEIGHTS - jnp.square(apart).sum(2) / (2 * VARIANCE), 1)
    return (posterior[:, :, None] * apart).sum(1) / VARIANCE


def mlp(x, sigma):
    """A network over σ."""
    *hidden, (weight, bias) = PARAMETERS
    for w, b in hidden:
        x = jax.nn.silu(x @ w + b)
    return (x @ weight + bias) / sigma


SCORES = {"exact": exact, "mlp": mlp}


def levels(kind):
    """σ and the step size at each level."""
    if kind == "exact":
        return np.array([[1.0, ALPHA]], np.float32)
    sigmas = np.geomspace(*SIGMAS, LEVELS)
    return np.stack([sigmas, EPSILON * (sigmas / sigmas[-1]) ** 2], 1).astype(np.float32)


@partial(jax.jit, static_argnums=(0, 1, 3))
def sample(kind, chains, levels, steps, key):
    score = SCORES[kind]

    def step(i, x):
        sigma, alpha = levels[i // (steps // len(levels))]
        z = jax.random.normal(jax.random.fold_in(key, i), x.shape)
        return x + alpha / 2 * score(x, sigma) + jnp.sqrt(alpha) * z

    return jax.lax.fori_loop(0, steps, step, jnp.zeros((chains, 2)))


@jax.jit
def mean_square(x):
    return jnp.mean(jnp.sum(jnp.square(x), 1))


# Shapes that are compiled.
known = set()


def timed(kind, chains, steps):
    """Seconds that the chains take, and their mean ‖x‖²."""
    run = lambda: jax.block_until_ready(sample(kind, chains, levels(kind), steps, jax.random.key(0)))
    if (kind, chains, steps) not in known:
        run()
        known.add((kind, chains, steps))
    begun = time.perf_counter()
    x = run()
    return [time.perf_counter() - begun, mean_square(x)]


def check(kind):
    """Scores at rows that stein makes too, at the first level and the last."""
    x = symmetric(0, (CHECKED, 2), 3.0)
    ends = levels(kind)[[0, -1], 0]
    return np.concatenate([np.ravel(SCORES[kind](x, sigma)) for sigma in ends])


if __name__ == "__main__":
    def answer(question, kind, chains, steps, chunk):
        chains, steps = int(chains), int(steps)
        if int(chunk) < chains:
            return None
        time = lambda: timed(kind, chains, steps)
        return {"time": time, "check": lambda: list(check(kind)), "memory": lambda: memory(time)}[question]()

    serve(answer)
