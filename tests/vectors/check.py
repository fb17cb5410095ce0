"""Checks the vectors that are there with NumPy in float64 and numerical differences alone: none of the code that made
them, no automatic differentiation. Derivatives in x are read off one Jacobian of the score, taken column by column, or,
of an energy, are differences of E itself, of order 8 since they are nested; the gradient in the parameters is compared
entry by entry, or along a few directions where the network is large.
"""

import math
import sys
import tomllib
from pathlib import Path

import numpy as np
from safetensors import safe_open

FOLDER = Path(__file__).parent

STEP_X = 1e-5
STEP_PARAMETERS = 1e-4
STEP_ENERGY = 0.06
SLOPE = [4 / 5, -1 / 5, 4 / 105, -1 / 280]  # of f(kh) − f(−kh); Fornberg 1988, table 1
CURVATURE = [8 / 5, -1 / 5, 8 / 315, -1 / 560]  # of f(kh) + f(−kh) − 2 f(0); the same table
TOLERANCE = 5e-6  # f32 rounds to 6e-8; the nested differences cost up to 3e-6
WHOLE = 2100  # parameters up to which every entry is checked, which leaves out 64 dimensions
DIRECTIONS = 3


def main():
    paths = [path for path in sorted(FOLDER.glob("*.safetensors")) if not path.stem.startswith("sampler-")]
    for path in paths:
        check_file(path)
    print(f"{len(paths)} files hold")


def check_file(path):
    tensors, experiment = read(path)
    layers = layers_of(tensors, "network")
    gradient = flat(layers_of(tensors, "grad"))
    basis = captured(experiment, layers, tensors)

    def loss_at(parameters):
        return loss(experiment, shaped(parameters, layers), tensors, basis)

    parameters = flat(layers)
    value, stated = loss_at(parameters), tensors["loss"][0]
    loss_error = abs(value - stated) / abs(stated)
    if parameters.size <= WHOLE:
        directions = np.eye(parameters.size)
    else:
        directions = np.random.default_rng(0).standard_normal((DIRECTIONS, parameters.size)) / math.sqrt(
            parameters.size
        )
    slopes = np.array([difference(loss_at, parameters, direction, STEP_PARAMETERS) for direction in directions])
    gradient_error = np.linalg.norm(slopes - directions @ gradient) / np.linalg.norm(slopes)
    kind = "whole" if parameters.size <= WHOLE else "along directions"
    print(f"{path.stem:52} loss {loss_error:.1e}  gradient {gradient_error:.1e} {kind}")
    if not max(loss_error, gradient_error) < TOLERANCE:
        sys.exit(f"{path.name} is off by more than {TOLERANCE:.0e}")


def read(path):
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name).astype(np.float64) for name in file.keys()}
        return tensors, tomllib.loads(file.metadata()["experiment"])


def layers_of(tensors, prefix):
    count = sum(name.startswith(f"{prefix}.") for name in tensors) // 2
    return [(tensors[f"{prefix}.{index}.weight"], tensors[f"{prefix}.{index}.bias"]) for index in range(count)]


def flat(layers):
    return np.concatenate([tensor.ravel() for layer in layers for tensor in layer])


def shaped(parameters, like):
    pieces = np.split(parameters, np.cumsum([tensor.size for layer in like for tensor in layer])[:-1])
    tensors = [
        piece.reshape(tensor.shape) for piece, tensor in zip(pieces, (tensor for layer in like for tensor in layer))
    ]
    return list(zip(tensors[::2], tensors[1::2]))


def difference(function, at, direction, step):
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


def activate(name, a):
    """In the form of the definition, with no care for overflow: the vectors stay far from it."""
    match name:
        case "softplus":
            return np.log(1 + np.exp(a))
        case "silu":
            return a * (0.5 + 0.5 * np.tanh(a / 2))
        case "tanh":
            return 1 - 2 / (np.exp(2 * a) + 1)
        case "elu":
            return np.where(a > 0, a, np.exp(a) - 1)
        case "gelu":
            return a * (1 + np.vectorize(math.erf)(a / 2**0.5)) / 2
    raise ValueError(name)


def network(experiment, layers, x):
    """F on rows, or Φ as a column."""
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if index + 1 < len(layers):
            x = activate(experiment["network"]["activation"], x)
    return x


def is_energy(experiment):
    return experiment["network"]["kind"] == "energy-mlp"


def score(experiment, layers, x, sigma):
    """s on rows; sigma is a column or None."""
    table = experiment["network"]
    if is_energy(experiment):
        return -np.stack([slope(experiment, layers, x, unit, sigma) for unit in np.eye(x.shape[1])], axis=1)
    match table["parameterization"]:
        case "score":
            return network(experiment, layers, x)
        case "scaled":
            return network(experiment, layers, x) / sigma
        case "noise":
            return network(experiment, layers, x) / -sigma
        case "denoiser":
            return (network(experiment, layers, x) - x) / sigma**2
        case "edm":
            data = table["sigma-data"]
            root = np.hypot(sigma, data)
            denoised = (data / root) ** 2 * x + sigma * data / root * network(experiment, layers, x / root)
            return (denoised - x) / sigma**2
    raise ValueError(table)


def energy(experiment, layers, x, sigma):
    """E on rows: its gradient and a Gaussian's, each by what multiplies it in the score."""
    table = experiment["network"]

    def raw(x):
        return network(experiment, layers, x)[:, 0]

    if table["parameterization"] == "score":
        return raw(x)
    sigma, squares = sigma[:, 0], (x**2).sum(1) / 2
    match table["parameterization"]:
        case "scaled":
            return raw(x) / sigma
        case "noise":
            return raw(x) / -sigma
        case "denoiser":
            return raw(x) / sigma**2 + squares / sigma**2
        case "edm":
            data = table["sigma-data"]
            root = np.hypot(sigma, data)
            return data / sigma * raw(x / root[:, None]) + squares / root**2
    raise ValueError(table)


def slope(experiment, layers, x, v, sigma):
    """vᵀ∇E of each row."""

    def at(steps):
        return energy(experiment, layers, x + steps * STEP_ENERGY * v, sigma)

    return sum(weight * (at(k) - at(-k)) for k, weight in enumerate(SLOPE, 1)) / STEP_ENERGY


def curvature(experiment, layers, x, v, sigma):
    """vᵀ∇²E v of each row; the step is one of x, however long v is."""
    length = np.linalg.norm(v, axis=1)

    def at(steps):
        return energy(experiment, layers, x + steps * STEP_ENERGY * v / length[:, None], sigma)

    here = at(0)
    bend = sum(weight * (at(k) + at(-k) - 2 * here) for k, weight in enumerate(CURVATURE, 1))
    return bend * (length / STEP_ENERGY) ** 2


def jacobian(s, x):
    """∂sᵢ/∂xⱼ as [B, D, D]."""
    return np.stack([difference(s, x, unit, STEP_X) for unit in np.eye(x.shape[1])], axis=-1)


def pieces(experiment, layers, tensors):
    """s at the noise of each example, x̃ and σ as a column."""
    x, sigma = tensors["x"], tensors.get("sigma")
    if sigma is None:
        return lambda at: score(experiment, layers, at, None), x, None
    sigma = sigma[:, None]
    return lambda at: score(experiment, layers, at, sigma), x + sigma * tensors["noise"], sigma


def captured(experiment, layers, tensors):
    """Hutch++: an orthonormal basis of the range of J S, from the file's own parameters and then held."""
    if experiment["objective"].get("trace") != "hutch++":
        return None
    s, noisy, _ = pieces(experiment, layers, tensors)
    half = len(tensors["probes"]) // 2
    image = np.stack([difference(s, noisy, v, STEP_X) for v in tensors["probes"][:half]], axis=-1)
    return np.linalg.svd(image, full_matrices=False)[0].transpose(2, 0, 1)


def quadratics(experiment, layers, x, sigma, vectors):
    """vᵀ J v as [M, B]."""
    if is_energy(experiment):
        return -np.stack([curvature(experiment, layers, x, v, sigma) for v in vectors])
    matrix = jacobian(lambda at: score(experiment, layers, at, sigma), x)
    return np.einsum("mbi,bij,mbj->mb", vectors, matrix, vectors)


def traces(options, along, tensors, basis):
    """`along` gives the quadratic forms of J in the vectors that it is given."""
    match options["trace"]:
        case "exact":
            batch, dims = tensors["x"].shape
            return along(np.broadcast_to(np.eye(dims)[:, None], (dims, batch, dims))).sum(0)
        case "hutchinson":
            return along(tensors["probes"]).mean(0)
        case "hutch++":
            probes = tensors["probes"][len(tensors["probes"]) // 2 :]
            rest = probes - np.einsum("kbi,kbj,mbj->mbi", basis, basis, probes)
            forms = along(np.concatenate([basis, rest]))
            return forms[: len(basis)].sum(0) + forms[len(basis) :].mean(0)
    raise ValueError(options)


def losses(experiment, layers, tensors, basis):
    """One unweighted value an example."""
    options = experiment["objective"]
    s, noisy, sigma = pieces(experiment, layers, tensors)

    def along(vectors):
        return quadratics(experiment, layers, noisy, sigma, vectors)

    match options:
        case {"kind": "implicit"}:
            return traces(options, along, tensors, basis) + (s(noisy) ** 2).sum(1) / 2
        case {"kind": "sliced", "derivative": "forward"}:
            value = s(noisy)
            return along(tensors["probes"]).mean(0) + norms(options, value, tensors["probes"]).mean(0)
        case {"kind": "sliced"} if is_energy(experiment):

            def e(at):
                return energy(experiment, layers, at, sigma)

            return np.mean([slice_of_energy(options, e, s, noisy, v) for v in tensors["probes"]], axis=0)
        case {"kind": "sliced"}:
            return np.mean([slice_of(options, s, noisy, v) for v in tensors["probes"]], axis=0)
    return denoising(options, s, noisy, sigma, tensors)


def norms(options, value, vectors):
    """½(vᵀs)², or ½‖s‖², as [M, B]."""
    along = value[None] if options["variance-reduced"] else (vectors * value).sum(-1, keepdims=True)
    return (along**2).sum(-1) / 2


def slice_of(options, s, noisy, v):
    length = np.linalg.norm(v, axis=1, keepdims=True)
    step = options["epsilon"] * v / length
    value = (s(noisy + step) + s(noisy - step)) / 2
    derivative = ((s(noisy + step) - s(noisy - step)) * v * length).sum(1) / (2 * options["epsilon"])
    return derivative + norms(options, value, v[None])[0]


def slice_of_energy(options, e, s, noisy, v):
    length = np.linalg.norm(v, axis=1)
    step = options["epsilon"] * v / length[:, None]
    up, down = e(noisy + step) - e(noisy), e(noisy - step) - e(noisy)
    scale = (length / options["epsilon"]) ** 2
    norm = (s(noisy) ** 2).sum(1) / 2 if options["variance-reduced"] else scale * (up - down) ** 2 / 8
    return norm - scale * (up + down)


def denoising(options, s, noisy, sigma, tensors):
    x, z, probes = tensors["x"], tensors["noise"], tensors.get("probes")

    def half_square(error):
        if probes is None:
            return (error**2).sum(1) / 2
        return ((probes * error).sum(-1) ** 2).mean(0) / 2

    value = half_square(s(noisy) + z / sigma)
    if options.get("antithetic"):
        value = value / 2 + half_square(s(2 * x - noisy) - z / sigma) / 2
    if options.get("control-variate"):
        value -= (s(x) * z / sigma).sum(1) + ((z**2 - 1) / (2 * sigma**2)).sum(1)
    return value


def loss(experiment, layers, tensors, basis):
    each = losses(experiment, layers, tensors, basis)
    match experiment["objective"]["weighting"]:
        case "none":
            return each.mean()
        case "sigma2":
            return (each * tensors["sigma"] ** 2).mean()
        case {"power": power}:
            return (each * np.exp(power * np.log(tensors["sigma"]))).mean()
        case "edm":
            data = experiment["network"]["sigma-data"]
            return (each * tensors["sigma"] ** 2 * ((tensors["sigma"] / data) ** 2 + 1)).mean()
    raise ValueError(experiment["objective"])


if __name__ == "__main__":
    main()
