"""Checks the vectors that are there with NumPy in float64 and numerical differences alone: none of the code that made
them, no automatic differentiation. Every derivative in x is read off one Jacobian, taken column by column; the gradient
in the parameters is compared entry by entry, or along a few directions where the network is large.
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
    projection = projections(experiment, layers, tensors)

    def loss_at(parameters):
        return loss(experiment, shaped(parameters, layers), tensors, projection)

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
    """F on rows."""
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if index + 1 < len(layers):
            x = activate(experiment["network"]["activation"], x)
    return x


def score(experiment, layers, x, sigma):
    """s on rows; sigma is a column or None."""
    table = experiment["network"]
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


def projections(experiment, layers, tensors):
    """Hutch++: the orthogonal projection on the range of J S, from the file's own parameters and then held."""
    if experiment["objective"].get("trace") != "hutch++":
        return None
    s, noisy, _ = pieces(experiment, layers, tensors)
    half = len(tensors["probes"]) // 2
    image = jacobian(s, noisy) @ tensors["probes"][:half].transpose(1, 2, 0)
    return image @ np.linalg.pinv(image)


def traces(experiment, tensors, matrix, projection):
    options = experiment["objective"]
    match options["trace"]:
        case "exact":
            return np.einsum("bii->b", matrix)
        case "hutchinson":
            return quadratic(matrix, tensors["probes"]).mean(0)
        case "hutch++":
            half = len(tensors["probes"]) // 2
            rest = np.eye(matrix.shape[-1]) - projection
            seen = np.einsum("bij,bji->b", projection, matrix)
            return seen + quadratic(rest @ matrix @ rest, tensors["probes"][half:]).mean(0)
    raise ValueError(options)


def quadratic(matrix, probes):
    """vᵀ J v as [M, B]."""
    return np.einsum("mbi,bij,mbj->mb", probes, matrix, probes)


def losses(experiment, layers, tensors, projection):
    """One unweighted value an example."""
    options = experiment["objective"]
    s, noisy, sigma = pieces(experiment, layers, tensors)
    if options["kind"] == "implicit":
        return traces(experiment, tensors, jacobian(s, noisy), projection) + (s(noisy) ** 2).sum(1) / 2
    if options["kind"] == "sliced":
        return np.mean([slice_of(options, s, noisy, v) for v in tensors["probes"]], axis=0)
    z = tensors["noise"]
    value = ((s(noisy) + z / sigma) ** 2).sum(1) / 2
    if options.get("antithetic"):
        value = value / 2 + ((s(2 * tensors["x"] - noisy) - z / sigma) ** 2).sum(1) / 4
    if options.get("control-variate"):
        value -= (s(tensors["x"]) * z / sigma).sum(1) + ((z**2 - 1) / (2 * sigma**2)).sum(1)
    return value


def slice_of(options, s, noisy, v):
    if options["derivative"] == "forward":
        value = s(noisy)
        derivative = quadratic(jacobian(s, noisy), v[None])[0]
    else:
        length = np.linalg.norm(v, axis=1, keepdims=True)
        step = options["epsilon"] * v / length
        value = (s(noisy + step) + s(noisy - step)) / 2
        derivative = ((s(noisy + step) - s(noisy - step)) * v * length).sum(1) / (2 * options["epsilon"])
    along = value if options["variance-reduced"] else (v * value).sum(1, keepdims=True)
    return derivative + (along**2).sum(1) / 2


def loss(experiment, layers, tensors, projection):
    each = losses(experiment, layers, tensors, projection)
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
