"""The training steps of `steps.rs` in JAX, jit-compiled, single precision: derivatives in x by jvp, the whole trace by jacfwd.

    python -m pip install -r tests/benches/requirements.txt
    cargo xtask bench steps --peers

Answers the same questions, of MLPs. Noise, loss, gradients and Adam (optax's formula) are one compiled function, whose arguments are given
to it for good (`donate_argnums`).
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

SIGMA = 0.5
WARM, TIMED = (3, 0.05), (100, 0.15)
CHECKED = 3
RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
ACTIVATIONS = {"softplus": jax.nn.softplus, "silu": jax.nn.silu}


def network(activation, parameters, x):
    """An MLP; of an energy its one output."""
    *hidden, (weight, bias) = parameters
    for w, b in hidden:
        x = activation(x @ w + b)
    return x @ weight + bias


def denoising(score, x, z, v):
    """½‖s(x + σz) + z/σ‖²."""
    return jnp.sum(jnp.square(score(x + SIGMA * z) + z / SIGMA), 1) / 2


def sliced(score, x, z, v):
    """vᵀ∇s v + ½(vᵀs)²."""
    s, tangent = jax.jvp(score, (x,), (v,))
    return jnp.sum(v * tangent, 1) + jnp.square(jnp.sum(v * s, 1)) / 2


def sliced_variance_reduced(score, x, z, v):
    """vᵀ∇s v + ½‖s‖²."""
    s, tangent = jax.jvp(score, (x,), (v,))
    return jnp.sum(v * tangent, 1) + jnp.sum(jnp.square(s), 1) / 2


def implicit_exact(score, x, z, v):
    """tr ∇s + ½‖s‖², forward mode along every axis."""

    def one(row):
        s = score(row[None])[0]
        return s, s

    jacobian, s = jax.vmap(jax.jacfwd(one, has_aux=True))(x)
    return jnp.trace(jacobian, axis1=1, axis2=2) + jnp.sum(jnp.square(s), 1) / 2


OBJECTIVES = {
    "denoising": denoising,
    "sliced": sliced,
    "sliced-variance-reduced": sliced_variance_reduced,
    "implicit-exact": implicit_exact,
    "implicit-basis": implicit_exact,
}


def loss(setting, parameters, x, z, v):
    """The mean loss of a batch."""
    activation, energy, objective = setting
    net = partial(network, ACTIVATIONS[activation], parameters)
    score = (lambda x: -jax.grad(lambda x: jnp.sum(net(x)))(x)) if energy else net
    return jnp.mean(OBJECTIVES[objective](score, x, z, v))


def adam(state, gradients):
    parameters, mean, square, t = state
    t = t + 1
    mean = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, mean, gradients)
    square = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, square, gradients)
    moved = lambda p, m, v: p - RATE * (m / (1 - BETA_1**t)) / (jnp.sqrt(v / (1 - BETA_2**t)) + EPSILON)
    return jax.tree.map(moved, parameters, mean, square), mean, square, t


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def step_on(setting, state, x, z, v):
    return adam(state, jax.grad(partial(loss, setting))(state[0], x, z, v))


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def step(setting, state, x, key):
    """With noise of its own."""
    key, draw = jax.random.split(key)
    z = jax.random.normal(draw, x.shape) if setting[2] == "denoising" else None
    v = jax.random.rademacher(draw, x.shape, x.dtype) if setting[2].startswith("sliced") else None
    return adam(state, jax.grad(partial(loss, setting))(state[0], x, z, v)), key


class Steps:
    """A network in training."""

    def __init__(self, d, hidden, rows, activation, network, objective):
        energy = network == "energy-mlp"
        widths = [d, hidden, hidden, 1 if energy else d]
        parameters = [(jnp.asarray(weight.T), jnp.asarray(bias)) for weight, bias in layers(widths)]
        zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
        self.state = (parameters, zeros(), zeros(), jnp.float32(0))
        self.setting = (activation, energy, objective)
        self.rows = jnp.asarray(symmetric(0, (rows, d), 3**0.5))
        self.key = jax.random.key(0)

    def time(self):
        """Seconds of each step."""

        def seconds():
            begun = time.perf_counter()
            self.state, self.key = jax.block_until_ready(step(self.setting, self.state, self.rows, self.key))
            return time.perf_counter() - begun

        def several(most, budget):
            begun = time.perf_counter()
            times = [seconds()]
            while len(times) < most and time.perf_counter() - begun < budget:
                times.append(seconds())
            return times

        # The first compiles, for as long as that takes.
        seconds()
        several(*WARM)
        return several(*TIMED)

    def check(self):
        """The loss of a batch that stein makes too, before and after a few steps on it."""
        z = symmetric(1, self.rows.shape, 3**0.5)
        v = np.where(symmetric(2, self.rows.shape, 1.0) < 0, np.float32(-1), np.float32(1))
        now = lambda: float(loss(self.setting, self.state[0], self.rows, z, v))
        before = now()
        for _ in range(CHECKED):
            self.state = step_on(self.setting, self.state, self.rows, z, v)
        return [before, now()]


if __name__ == "__main__":
    def answer(question, d, hidden, rows, activation, network, objective):
        if network not in ("mlp", "energy-mlp"):
            return None
        steps = Steps(int(d), int(hidden), int(rows), activation, network, objective)
        return {"time": steps.time, "check": steps.check, "memory": lambda: memory(steps.time)}[question]()

    serve(answer)
