"""Makes the test vectors of `stein verify`: losses and parameter gradients in float64, sharing no code with stein.

    python make.py           writes *.safetensors beside this file and proves each gradient by a difference
    python make.py --check   checks the files that are there with NumPy and numerical differences alone

A formula is written for one example; `loss` maps it over the batch, weights it and takes the mean. ½ is kept and
dimensions are summed.
"""

import json
import math
import sys
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import check
from cases import CASES

jax.config.update("jax_enable_x64", True)

FOLDER = Path(__file__).parent
SOURCE = f"stein tests/vectors/make.py, JAX {jax.__version__}, float64"

# What each check allows, relatively. Those of float32 keep a tolerance of 1e-4 a test of the formula, not of round-off.
TOLERANCES = {"float32 loss": 2e-5, "float32 gradient": 2e-5, "difference": 1e-5, "trace": 1e-12, "energy": 1e-12}

# Networks.

ACTIVATIONS = {
    "softplus": lambda a: jnp.logaddexp(a, 0),  # ln(1 + eᵃ); Dugas et al. 2001
    "silu": lambda a: a / (1 + jnp.exp(-a)),  # Elfwing et al. 2018, arXiv 1702.03118
    "tanh": jnp.tanh,
    "elu": lambda a: jnp.where(a > 0, a, jnp.expm1(jnp.minimum(a, 0))),  # α = 1; Clevert et al. 2016, arXiv 1511.07289
    "gelu": lambda a: a * (1 + jax.lax.erf(a / math.sqrt(2))) / 2,  # exact; Hendrycks & Gimpel 2016, arXiv 1606.08415
}


def mlp(layers, activation, x):
    """The raw network: F, or Φ as a vector of one."""
    *hidden, (weight, bias) = layers
    for inner_weight, inner_bias in hidden:
        x = ACTIVATIONS[activation](inner_weight @ x + inner_bias)
    return weight @ x + bias


def score(case, layers, x, sigma):
    """s = −∇E, or from F."""
    if case.energy:
        return -jax.grad(lambda x: energy(case, layers, x, sigma))(x)
    return field_score(case, lambda x: mlp(layers, case.activation, x), x, sigma)


def energy(case, layers, x, sigma):
    """E from Φ: what makes −∇E the score of F = −∇Φ, by the case's parameterization."""

    def raw(x):
        return mlp(layers, case.activation, x)[0]

    match case.parameterization:
        case "score":
            return raw(x)
        case "scaled":
            return raw(x) / sigma
        case "noise":
            return -raw(x) / sigma
        case "denoiser":
            return (raw(x) + half_square(x)) / sigma**2
        case "edm":
            c_skip, c_out, c_in = edm_scales(sigma, case.sigma_data)
            return (c_out / c_in * raw(c_in * x) + (1 - c_skip) * half_square(x)) / sigma**2
    raise ValueError(case.parameterization)


def field_score(case, raw, x, sigma):
    """s from F, by the case's parameterization."""
    match case.parameterization:
        case "score":
            return raw(x)
        case "scaled":  # Song & Ermon 2020, arXiv 2006.09011, technique 3
            return raw(x) / sigma
        case "noise":  # F predicts the noise; Ho et al. 2020, arXiv 2006.11239, section 3.2
            return -raw(x) / sigma
        case "denoiser":  # F predicts the clean x, Tweedie's formula turned round; Efron 2011
            return (raw(x) - x) / sigma**2
        case "edm":  # Karras et al. 2022, arXiv 2206.00364, eq. (3)
            return (edm_denoiser(raw, x, sigma, case.sigma_data) - x) / sigma**2
    raise ValueError(case.parameterization)


def edm_denoiser(raw, x, sigma, sigma_data):
    """D = c_skip x + c_out F(c_in x); Karras et al. 2022, arXiv 2206.00364, eq. (7)."""
    c_skip, c_out, c_in = edm_scales(sigma, sigma_data)
    return c_skip * x + c_out * raw(c_in * x)


def edm_scales(sigma, sigma_data):
    """c_skip, c_out and c_in; the same paper, table 1."""
    total = sigma**2 + sigma_data**2
    return sigma_data**2 / total, sigma * sigma_data / jnp.sqrt(total), 1 / jnp.sqrt(total)


# Derivatives of s: the function, at one point.


def jvp(s, x, v):
    """J v, with J = ∇s."""
    return jax.jvp(s, (x,), (v,))[1]


def trace_exact(s, x):
    return jnp.trace(jax.jacfwd(s)(x))


def trace_by_directions(s, x):
    """Σ eᵢᵀ J eᵢ, only to check `trace_exact`."""
    return sum(unit @ jvp(s, x, unit) for unit in jnp.eye(x.size, dtype=x.dtype))


def trace_hutchinson(s, x, probes):
    """Mean of vᵀ J v; Hutchinson 1990."""
    return jnp.mean(jax.vmap(lambda v: v @ jvp(s, x, v))(probes))


def trace_hutchpp(s, basis, x, probes):
    """tr(Qᵀ J Q) + mean of g̃ᵀ J g̃, g̃ = (I − Q Qᵀ) g; Meyer et al. 2021, arXiv 2010.09649, algorithm 1."""
    captured = jnp.sum(jax.vmap(lambda q: q @ jvp(s, x, q))(basis.T))
    return captured + trace_hutchinson(s, x, probes - (probes @ basis) @ basis.T)


def hutchpp_basis(s, x, sketch):
    """Q of the QR decomposition of J S, the probes of the sketch being the columns of S; the same algorithm."""
    return jnp.linalg.qr(jax.vmap(lambda v: jvp(s, x, v))(sketch).T)[0]


# Objectives, for one example.


def half_square(vector):
    return 0.5 * (vector @ vector)


def implicit(trace, s, x):
    """tr ∇s + ½‖s‖²; Hyvärinen 2005, JMLR 6, theorem 1."""
    return trace + half_square(s(x))


def sliced(s, x, v, reduced):
    """vᵀ J v + ½(vᵀs)², or with ½‖s‖², its mean over v; Song et al. 2019, arXiv 1905.07088, section 3."""
    value, derivative = jax.jvp(s, (x,), (v,))
    return v @ derivative + (half_square(value) if reduced else 0.5 * (v @ value) ** 2)


def sliced_by_difference(s, x, v, reduced, epsilon):
    """Both terms from s at x ± ε v/‖v‖; Pang et al. 2020, arXiv 2007.03317."""
    length = jnp.sqrt(v @ v)
    step = epsilon * v / length
    above, below = s(x + step), s(x - step)
    mean = (above + below) / 2
    derivative = v @ (above - below) * length / (2 * epsilon)
    return derivative + (half_square(mean) if reduced else 0.5 * (v @ mean) ** 2)


def sliced_by_energies(e, x, v, reduced, epsilon):
    """−vᵀ∇²E v + ½(vᵀ∇E)² from E at x and x ± ε v/‖v‖; Pang et al. 2020, arXiv 2007.03317. Or with ½‖∇E(x)‖²."""
    step = epsilon * v / jnp.sqrt(v @ v)
    above, here, below = e(x + step), e(x), e(x - step)
    scale = (v @ v) / epsilon**2
    curvature = scale * (2 * here - above - below)
    return curvature + (half_square(jax.grad(e)(x)) if reduced else scale * (above - below) ** 2 / 8)


def denoising(s, x, z, sigma, probes):
    """½‖s(x + σ z) + z/σ‖²; Vincent 2011; Song & Ermon 2019, arXiv 1907.05600, eq. (5). Or the mean over v of ½(vᵀ·)²."""
    error = s(x + sigma * z) + z / sigma
    return half_square(error) if probes is None else half_square(probes @ error) / len(probes)


def antithetic(s, x, z, sigma, probes):
    """The mean over z and −z, with the same v; Hammersley & Morton 1956."""
    return (denoising(s, x, z, sigma, probes) + denoising(s, x, -z, sigma, probes)) / 2


def control_variate(s, x, z, sigma):
    """sᵀz/σ + (‖z‖² − D)/(2σ²) with s at the clean x, of mean 0; Song & Kingma 2021, arXiv 2101.03288."""
    return s(x) @ z / sigma + (z @ z - z.size) / (2 * sigma**2)


def weight(case, sigma):
    """λ(σ)."""
    match case.weighting:
        case "none":
            return 1.0
        case "sigma2":  # Song & Ermon 2019, arXiv 1907.05600, section 4.2
            return sigma**2
        case "edm":  # what turns ½‖s + z/σ‖² into ½‖D − x‖² times λ of Karras et al. 2022, arXiv 2206.00364, table 1
            return sigma**2 * (sigma**2 + case.sigma_data**2) / case.sigma_data**2
        case {"power": power}:
            return sigma**power
    raise ValueError(case.weighting)


def example_loss(case, layers, held, example):
    """Unweighted. `held` are the parameters behind what the gradient takes as constant, the basis of Hutch++."""
    x, z, sigma, probes = (example.get(key) for key in ("x", "noise", "sigma", "probes"))
    options = case.objective

    def s(x):
        return score(case, layers, x, sigma)

    if options["kind"] == "denoising":
        value = (antithetic if options.get("antithetic") else denoising)(s, x, z, sigma, probes)
        return value - control_variate(s, x, z, sigma) if options.get("control-variate") else value

    noisy = x if z is None else x + sigma * z
    if options["kind"] == "sliced":
        reduced = options["variance-reduced"]
        if options["derivative"] == "forward":
            return jnp.mean(jax.vmap(lambda v: sliced(s, noisy, v, reduced))(probes))
        by_difference, of = sliced_by_difference, s
        if case.energy:
            by_difference, of = sliced_by_energies, lambda x: energy(case, layers, x, sigma)
        return jnp.mean(jax.vmap(lambda v: by_difference(of, noisy, v, reduced, options["epsilon"]))(probes))

    match options["trace"]:
        case "exact":
            trace = trace_exact(s, noisy)
        case "hutchinson":
            trace = trace_hutchinson(s, noisy, probes)
        case "hutch++":
            sketch, rest = jnp.split(probes, 2)
            basis = hutchpp_basis(lambda x: score(case, held, x, sigma), noisy, sketch)
            trace = trace_hutchpp(s, basis, noisy, rest)
    return implicit(trace, s, noisy)


def loss(case, layers, held, batch):
    """The weighted mean over the batch. Every tensor of the batch has the examples first."""

    def weighted(example):
        return weight(case, example.get("sigma")) * example_loss(case, layers, held, example)

    return jnp.mean(jax.vmap(weighted)(batch))


# Inputs.


def draw(case):
    """Parameters and batch, rounded to f32 as the file holds them; from a generator of the case's own."""
    random = np.random.default_rng(zlib.crc32(case.name.encode()))
    layers, widths = [], [case.dim, *case.hidden, 1 if case.energy else case.dim]
    for inputs, outputs in zip(widths, widths[1:]):
        bound = 1 / math.sqrt(inputs)
        weight = case.gain * random.uniform(-bound, bound, (outputs, inputs))
        layers.append((weight, random.uniform(-bound, bound, outputs)))
    batch = {"x": random.standard_normal((case.batch, case.dim))}
    if case.sigma is not None:
        batch["noise"] = random.standard_normal((case.batch, case.dim))
        batch["sigma"] = np.exp(random.uniform(*np.log(case.sigma), case.batch))
    if count := probe_count(case.objective):
        batch["probes"] = draw_probes(random, case.objective["probe"], (case.batch, count, case.dim))
    return jax.tree.map(np.float32, (layers, batch))


def probe_count(objective):
    """How many are drawn. Hutch++ counts products with J, k each for the sketch, Q and the rest, and Q is not drawn."""
    match objective:
        case {"trace": "hutch++", "probes": products}:
            return 2 * products // 3
        case {"probes": count} | {"projections": count}:
            return count
    return 0


def draw_probes(random, kind, shape):
    """v with E[v vᵀ] = I."""
    if kind == "rademacher":
        return random.choice([-1.0, 1.0], shape)
    gaussian = random.standard_normal(shape)
    if kind == "gaussian":
        return gaussian
    return gaussian * math.sqrt(shape[-1]) / np.linalg.norm(gaussian, axis=-1, keepdims=True)  # the sphere of radius √D


# Checks.


def float32_errors(value_and_grad, layers, batch, value, gradient):
    """What evaluation in float32 costs: the loss's error over its size, the gradient's in norm."""
    value32, gradient32 = value_and_grad(layers, layers, batch)
    if value32.dtype != jnp.float32:
        sys.exit(f"float32 inputs give {value32.dtype}: a constant promotes them")
    value_error = abs(float(value32) - float(value)) / max(abs(float(value)), 1e-3)
    difference = jax.tree.map(lambda single, double: np.float64(single) - double, gradient32, gradient)
    return {"float32 loss": value_error, "float32 gradient": norm(difference) / norm(gradient)}


def difference_error(case, loss, layers, batch, gradient):
    """The gradient along a random direction against a central difference."""
    random = np.random.default_rng(zlib.crc32(case.name.encode()) + 1)
    direction = jax.tree.map(lambda leaf: random.standard_normal(leaf.shape), layers)
    direction = jax.tree.map(lambda leaf: leaf / norm(direction), direction)
    slope = sum(np.vdot(*pair) for pair in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction)))

    def along(step):
        return loss(jax.tree.map(lambda leaf, way: leaf + step * way, layers, direction), layers, batch)

    step = 1e-4
    return abs(float(along(step) - along(-step)) / (2 * step) / slope - 1)


def noisy_of(example):
    """x̃ and σ."""
    sigma = example.get("sigma")
    return example["x"] + (0 if sigma is None else sigma * example["noise"]), sigma


def energy_error(case, layers, batch):
    """−∇E against the score of F = −∇Φ, the worst example."""

    def scores(example):
        noisy, sigma = noisy_of(example)
        field = jax.grad(lambda x: -mlp(layers, case.activation, x)[0])
        return score(case, layers, noisy, sigma), field_score(case, field, noisy, sigma)

    gradient, field = jax.jit(jax.vmap(scores))(batch)
    return float(jnp.max(jnp.linalg.norm(gradient - field, axis=1) / jnp.linalg.norm(field, axis=1)))


def trace_error(case, layers, batch):
    """The two exact traces against each other, the worst example."""

    def traces(example):
        noisy, sigma = noisy_of(example)

        def s(x):
            return score(case, layers, x, sigma)

        return trace_exact(s, noisy), trace_by_directions(s, noisy)

    jacobian, directions = jax.jit(jax.vmap(traces))(batch)
    return float(jnp.max(jnp.abs(jacobian - directions) / jnp.abs(directions)))


def norm(tree):
    return math.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(tree)))


# Files.


def tensors(layers, batch, value, gradient):
    """The tensors of a file by name; the probes lead with M there."""
    named = dict(batch)
    if "probes" in named:
        named["probes"] = named["probes"].transpose(1, 0, 2)
    for prefix, tree in (("network", layers), ("grad", gradient)):
        for index, (weight, bias) in enumerate(tree):
            named |= {f"{prefix}.{index}.weight": weight, f"{prefix}.{index}.bias": bias}
    named["loss"] = np.reshape(value, 1)
    return {name: np.ascontiguousarray(tensor, dtype="<f4") for name, tensor in named.items()}


def safetensors(named, metadata):
    """The file's bytes. The library's own writer orders metadata anew on every run; here everything is sorted."""
    header, offset = {"__metadata__": metadata}, 0
    for name in sorted(named):
        end = offset + named[name].nbytes
        header[name] = {"dtype": "F32", "shape": list(named[name].shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(named[name].tobytes() for name in sorted(named))


def make(case):
    """One file; says how well it stands and refuses where it doesn't."""
    single = draw(case)
    layers, batch = jax.tree.map(np.float64, single)
    value_of = jax.jit(lambda *arguments: loss(case, *arguments))
    value_and_grad = jax.jit(jax.value_and_grad(lambda *arguments: loss(case, *arguments)))
    value, gradient = value_and_grad(layers, layers, batch)
    errors = float32_errors(value_and_grad, *single, value, gradient)
    errors["difference"] = difference_error(case, value_of, layers, batch, gradient)
    if case.objective.get("trace") == "exact":
        errors["trace"] = trace_error(case, layers, batch)
    if case.energy:
        errors["energy"] = energy_error(case, layers, batch)
    shown = "  ".join(f"{name} {error:.1e}" for name, error in errors.items())
    print(f"{case.name:50} loss {float(value):9.4f}  ‖grad‖ {norm(gradient):9.4f}  {shown}")
    for name, error in errors.items():
        if not error < TOLERANCES[name]:
            sys.exit(f"{case.name}: {name} is off by {error:.1e}, {TOLERANCES[name]:.0e} is allowed")
    metadata = {"experiment": case.experiment(), "source": SOURCE}
    (FOLDER / f"{case.name}.safetensors").write_bytes(safetensors(tensors(layers, batch, value, gradient), metadata))


def main():
    if "--check" in sys.argv[1:]:
        return check.main()
    names = [case.name for case in CASES]
    if len(set(names)) < len(names):
        sys.exit(f"cases of one name: {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
    for case in CASES:
        make(case)
    ours = {path.stem for path in FOLDER.glob("*.safetensors") if not path.stem.startswith("sampler-")}
    stray = ours - set(names)
    if stray:
        sys.exit(f"files that no case makes: {', '.join(sorted(stray))}")


if __name__ == "__main__":
    main()
