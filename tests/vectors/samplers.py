"""Makes the samplers' test vectors of `stein verify`, sampler-*.safetensors: NumPy alone, in float64, each algorithm written
from its paper's box with the paper's own quantities. It shares no code with stein, nor with make.py but the file format.

    python samplers.py           writes the files
    python samplers.py --check   makes them again in memory and compares bytes

A case starts from x and is given a pile of standard normals; the algorithm takes them off the top, one [B, D] a draw, and a
few are left over. Scores are those of a Gaussian mixture, in closed form.
"""

import json
import math
import sys
import tomllib
import zlib
from pathlib import Path

import numpy as np

from cases import table_text

FOLDER = Path(__file__).parent
SOURCE = "stein tests/vectors/samplers.py, NumPy, float64"
# Drawn in float32 a case may end so far off, relatively: a tolerance of 1e-3 tests the formula, not round-off.
MOST_ROUNDING = 5e-5
SPARE = 2  # normals beyond those that an algorithm draws


# Densities and levels.


def mixture_score(data, x, alpha, sigma):
    """∇ log p at the level (α, σ): components of mean α m and variance α² s² + σ²."""
    means = np.array(data["means"], x.dtype)
    count = len(means)
    std = np.broadcast_to(np.array(data.get("std", 1.0), x.dtype), count)
    weights = np.array(data.get("weights", [1.0] * count), x.dtype)
    variance = alpha**2 * std**2 + sigma**2
    apart = alpha * means[None] - x[:, None]
    exponent = np.log(weights) - (apart**2).sum(2) / (2 * variance) - x.shape[1] / 2 * np.log(variance)
    share = np.exp(exponent - exponent.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return (share[:, :, None] * apart / variance[:, None]).sum(1)


def ladder(table):
    """σ and α of each level, from the noisiest; both empty where there is no noise."""
    kind = table["kind"]
    if kind == "none":
        return np.array([0.0]), np.array([1.0])
    if kind == "explicit":
        sigmas = np.array(table["values"])
    elif kind == "geometric":
        sigmas = np.exp(np.linspace(np.log(table["sigma-max"]), np.log(table["sigma-min"]), table["levels"]))
    elif kind == "karras":  # Karras et al. 2022, arXiv 2206.00364, eq. (5)
        root = 1 / table["rho"]
        sigmas = np.linspace(table["sigma-max"] ** root, table["sigma-min"] ** root, table["levels"]) ** table["rho"]
    elif kind in ("variance-preserving", "sub-vp"):  # Song et al. 2021, arXiv 2011.13456, eq. (29)
        low, high = table["beta-min"], table["beta-max"]
        t = np.linspace(1, table["epsilon"], table["levels"])
        square = np.exp(-(t**2) * (high - low) / 2 - t * low)  # α²
        return (np.sqrt(1 - square) if kind == "variance-preserving" else 1 - square), np.sqrt(square)
    else:
        raise ValueError(kind)
    return sigmas, np.ones_like(sigmas)


# Algorithms: `s(x, i)` is the score at level i, `normals()` the next draw.


def ula(x, s, sigmas, alphas, normals, options):
    step = options["step-size"] * (2 if options["convention"] == "repository" else 1)
    last = len(sigmas) - 1
    for _ in range(options["steps"]):
        x = x + step / 2 * s(x, last) + math.sqrt(step) * normals()
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x


def annealed_langevin(x, s, sigmas, alphas, normals, options):
    """Song & Ermon 2019, algorithm 1; its repository writes 2α for the paper's α."""
    for i, sigma in enumerate(sigmas):
        step = options["step-size"] * (sigma / sigmas[-1]) ** 2
        for _ in range(options["steps-per-level"]):
            if options["convention"] == "paper":
                x = x + step / 2 * s(x, i) + math.sqrt(step) * normals()
            else:
                x = x + step * s(x, i) + math.sqrt(2 * step) * normals()
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x


def consistent_annealed(x, s, sigmas, alphas, normals, options):
    """Jolicoeur-Martineau et al. 2020, algorithm 2, where σ_{L+1} is 0; or the Tweedie mean in place of its last step."""
    eta, gamma = options["step-size"] / sigmas[-1] ** 2, sigmas[1] / sigmas[0]
    beta = math.sqrt(1 - ((1 - eta) / gamma) ** 2)
    for i in range(len(sigmas) - 1):
        x = x + eta * sigmas[i] ** 2 * s(x, i) + sigmas[i + 1] * beta * normals()
    last = len(sigmas) - 1
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x + eta * sigmas[last] ** 2 * s(x, last)


def predictor_corrector(x, s, sigmas, alphas, normals, options):
    """Song et al. 2021, algorithms 2 to 5 (the paper's order), or with the two swapped (the repository's)."""
    exploding = alphas[0] == 1
    square = alphas**2
    # β of the discrete chain's step to level i from the one with less noise; after the last comes clean data.
    betas = 1 - square / np.append(square[1:], [1]).astype(square.dtype)

    def norm(rows):
        norms = np.sqrt((rows**2).sum(1, keepdims=True))
        return norms if options["norms"] == "chain" else norms.mean()

    def correct(x, i):
        if options["corrector"] == "none":
            return x
        for _ in range(options["corrector-steps"]):
            z, g = normals(), s(x, i)
            step = 2 * (1 - betas[i]) * (options["snr"] * norm(z) / norm(g)) ** 2
            x = x + step * g + np.sqrt(2 * step) * z
        return x

    def predict_preserving(x, beta, g, z):
        noise = math.sqrt(beta) * z
        if options["predictor"] == "reverse-diffusion":
            return (2 - math.sqrt(1 - beta)) * x + beta * g + noise
        if options["predictor"] == "ancestral":
            return (x + beta * g) / math.sqrt(1 - beta) + noise
        return x + beta * (x / 2 + g) + noise

    def predict(x, i):
        here, there = sigmas[i], sigmas[i + 1]
        z, g = normals(), s(x, i)
        if not exploding:
            return predict_preserving(x, betas[i], g, z)
        if options["predictor"] == "reverse-diffusion":
            return x + (here**2 - there**2) * g + math.sqrt(here**2 - there**2) * z
        if options["predictor"] == "ancestral":
            return x + (here**2 - there**2) * g + math.sqrt(there**2 * (here**2 - there**2) / here**2) * z
        dt = 1 / (len(sigmas) - 1)  # dx = −g² s dt + g dw, g² = dσ²/dt, σ geometric in t
        g2 = 2 * here**2 * math.log(sigmas[0] / sigmas[-1])
        return x + g2 * dt * g + math.sqrt(g2 * dt) * z

    corrector_first = options["order"] == "corrector-first"
    for i in range(len(sigmas) - 1):
        x = predict(correct(x, i), i) if corrector_first else correct(predict(x, i), i + 1)
    if not options["denoise"]:
        return x
    return tweedie(correct(x, len(sigmas) - 1) if corrector_first else x, s, sigmas, alphas)


def euler_maruyama(x, s, sigmas, alphas, normals, options):
    """dx = −s dv + dw over v = σ², backwards; with α² + σ² = 1, dx = −β (x/2 + s) dt + √β dw, β dt the chain's."""
    for i in range(len(sigmas) - 1):
        if alphas[0] == 1:
            dv, drift = sigmas[i] ** 2 - sigmas[i + 1] ** 2, s(x, i)
        else:
            dv, drift = 1 - alphas[i] ** 2 / alphas[i + 1] ** 2, x / 2 + s(x, i)
        x = x + dv * drift + math.sqrt(dv) * normals()
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x


def ddim(x, s, sigmas, alphas, normals, options):
    """Song, Meng & Ermon 2020, eq. (12) with their σ_t = 0: predicted x₀ and the direction back to x_t."""
    for i in range(len(sigmas) - 1):
        eps = -sigmas[i] * s(x, i)
        x0 = (x - sigmas[i] * eps) / alphas[i]
        x = alphas[i + 1] * x0 + sigmas[i + 1] * eps
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x


def dpm_solver_pp_2m(x, s, sigmas, alphas, normals, options):
    """Lu et al. 2022, algorithm 2; to σ = 0 the first order is left, which is the data prediction."""
    log_snr = np.log(alphas / sigmas)
    data = []
    for i in range(len(sigmas) - 1):
        data.append((x + sigmas[i] ** 2 * s(x, i)) / alphas[i])
        h = log_snr[i + 1] - log_snr[i]
        mixed = data[-1]
        if i > 0:
            r = (log_snr[i] - log_snr[i - 1]) / h
            mixed = (1 + 1 / (2 * r)) * data[-1] - 1 / (2 * r) * data[-2]
        x = sigmas[i + 1] / sigmas[i] * x - alphas[i + 1] * (np.exp(-h) - 1) * mixed
    return tweedie(x, s, sigmas, alphas) if options["denoise"] else x


def edm(x, s, sigmas, alphas, normals, options):
    """Karras et al. 2022, algorithm 2, for y = x/α and t = σ/α: t_N = 0 is no level, and is gone to by Euler's step."""
    count = len(sigmas)
    t = [*(sigmas / alphas), 0.0]
    y = x / alphas[0]

    def slope(y, t):
        alpha = 1.0 if alphas[0] == 1 else 1 / math.sqrt(1 + t**2)
        return -alpha * t * s(alpha * y, (alpha, alpha * t))

    for i in range(count):
        inside = options["churn-min"] <= t[i] <= options["churn-max"]
        gamma = min(options["churn"] / count, math.sqrt(2) - 1) if inside else 0.0
        hat = t[i] + gamma * t[i]
        y_hat = y + math.sqrt(hat**2 - t[i] ** 2) * options["noise"] * normals()
        d = slope(y_hat, hat)
        y = y_hat + (t[i + 1] - hat) * d
        if t[i + 1] > 0:
            y = y_hat + (t[i + 1] - hat) * (d + slope(y, t[i + 1])) / 2
    return y


def heun_flow(x, s, sigmas, alphas, normals, options):
    """dx/dt by Heun's method in the time ρ = σ/α, for y = x/α: dy/dρ = (y − E[x₀])/ρ."""
    rho = sigmas / alphas
    y = x / alphas[0]

    def slope(y, i):
        return (y - (alphas[i] * y + sigmas[i] ** 2 * s(alphas[i] * y, i)) / alphas[i]) / rho[i]

    for i in range(len(sigmas) - 1):
        first = slope(y, i)
        second = slope(y + (rho[i + 1] - rho[i]) * first, i + 1)
        y = y + (rho[i + 1] - rho[i]) * (first + second) / 2
    return tweedie(alphas[-1] * y, s, sigmas, alphas) if options["denoise"] else alphas[-1] * y


def tweedie(x, s, sigmas, alphas):
    return (x + sigmas[-1] ** 2 * s(x, len(sigmas) - 1)) / alphas[-1]


ALGORITHMS = {
    "langevin": ula,
    "annealed-langevin": annealed_langevin,
    "consistent-annealed": consistent_annealed,
    "predictor-corrector": predictor_corrector,
    "euler-maruyama": euler_maruyama,
    "ddim": ddim,
    "dpm-solver-pp-2m": dpm_solver_pp_2m,
    "edm": edm,
    "probability-flow": heun_flow,
}


# Cases: a name, chains, data, schedule, sampler.

MODES = {
    "kind": "gaussian-mixture",
    "means": [[-2.5, -1.5], [2.5, -1.5], [0.0, 2.5]],
    "weights": [0.5, 0.3, 0.2],
    "std": 0.5,
}
UNEQUAL = {
    "kind": "gaussian-mixture",
    "means": [[1.0, 0.0, -1.0], [-2.0, 1.5, 0.5]],
    "weights": [0.25, 0.75],
    "std": [0.4, 0.9],
}
NORMAL = {"kind": "gaussian-mixture", "means": [[0.5, -1.0, 2.0, 0.0, 0.25, -0.75, 1.5, -2.0]], "std": 0.7}


def geometric(first, last, levels):
    return {"kind": "geometric", "sigma-max": first, "sigma-min": last, "levels": levels}


def karras(first, last, levels, rho=7.0):
    return {"kind": "karras", "sigma-max": first, "sigma-min": last, "levels": levels, "rho": rho}


def variance_preserving(levels, kind="variance-preserving", epsilon=1e-3):
    return {"kind": kind, "beta-min": 0.1, "beta-max": 20.0, "levels": levels, "epsilon": epsilon}


def langevin(steps, step_size, convention, denoise):
    keys = {"steps": steps, "step-size": step_size, "convention": convention, "denoise": denoise}
    return {"kind": "langevin"} | keys


def annealed(steps, step_size, convention, denoise):
    keys = {"steps-per-level": steps, "step-size": step_size, "convention": convention, "denoise": denoise}
    return {"kind": "annealed-langevin"} | keys


def corrected(predictor, order, norms, corrector="langevin", snr=0.16, steps=1, denoise=True):
    keys = {"predictor": predictor, "corrector": corrector, "snr": snr, "corrector-steps": steps}
    return {"kind": "predictor-corrector"} | keys | {"order": order, "norms": norms, "denoise": denoise}


def churned(churn, low=0.0, high=float("inf"), noise=1.0):
    keys = {"churn": churn, "churn-min": low, "churn-max": high, "noise": noise, "denoise": True}
    return {"kind": "edm"} | keys


def plain(kind, denoise=True):
    return {"kind": kind, "denoise": denoise}


CASES = [
    ("langevin-paper", 16, MODES, {"kind": "explicit", "values": [0.3]}, langevin(30, 0.1, "paper", False)),
    ("langevin-repository", 12, UNEQUAL, geometric(1.0, 0.4, 3), langevin(20, 0.05, "repository", True)),
    ("langevin-clean", 16, NORMAL, {"kind": "none"}, langevin(25, 0.2, "paper", False)),
    ("annealed-paper", 16, MODES, geometric(4.0, 0.25, 6), annealed(4, 0.02, "paper", True)),
    ("annealed-repository", 12, UNEQUAL, geometric(5.0, 0.2, 7), annealed(4, 0.008, "repository", True)),
    ("annealed-plain", 8, NORMAL, geometric(3.0, 0.5, 5), annealed(3, 0.04, "repository", False)),
    (
        "consistent-denoised",
        16,
        MODES,
        geometric(6.0, 0.1, 25),
        {"kind": "consistent-annealed", "step-size": 0.004, "denoise": True},
    ),
    (
        "consistent-plain",
        8,
        NORMAL,
        geometric(3.0, 0.2, 12),
        {"kind": "consistent-annealed", "step-size": 0.012, "denoise": False},
    ),
    (
        "pc-reverse-batch",
        16,
        MODES,
        geometric(6.0, 0.1, 12),
        corrected("reverse-diffusion", "corrector-first", "batch"),
    ),
    (
        "pc-ancestral-paper-order",
        8,
        NORMAL,
        geometric(5.0, 0.1, 10),
        corrected("ancestral", "predictor-first", "chain", snr=0.1),
    ),
    (
        "pc-euler-two-corrections",
        8,
        NORMAL,
        geometric(5.0, 0.2, 9),
        corrected("euler-maruyama", "corrector-first", "chain", snr=0.12, steps=2),
    ),
    (
        "pc-ancestral-uncorrected",
        12,
        UNEQUAL,
        geometric(5.0, 0.1, 20),
        corrected("ancestral", "corrector-first", "chain", corrector="none"),
    ),
    (
        "pc-reverse-variance-preserving",
        12,
        UNEQUAL,
        variance_preserving(12),
        corrected("reverse-diffusion", "corrector-first", "batch"),
    ),
    (
        "pc-ancestral-variance-preserving",
        8,
        NORMAL,
        variance_preserving(15),
        corrected("ancestral", "predictor-first", "chain", snr=0.1),
    ),
    (
        "pc-euler-variance-preserving",
        8,
        NORMAL,
        variance_preserving(25),
        corrected("euler-maruyama", "corrector-first", "chain", corrector="none"),
    ),
    (
        "pc-reverse-plain",
        8,
        UNEQUAL,
        karras(5.0, 0.2, 8),
        corrected("reverse-diffusion", "predictor-first", "batch", denoise=False),
    ),
    ("euler-maruyama", 16, MODES, geometric(6.0, 0.1, 25), plain("euler-maruyama")),
    ("euler-maruyama-plain", 8, NORMAL, karras(5.0, 0.1, 15), plain("euler-maruyama", False)),
    ("euler-maruyama-variance-preserving", 12, UNEQUAL, variance_preserving(25), plain("euler-maruyama")),
    ("ddim", 16, MODES, geometric(8.0, 0.05, 20), plain("ddim")),
    ("ddim-variance-preserving", 12, UNEQUAL, variance_preserving(20), plain("ddim")),
    ("ddim-plain", 8, NORMAL, variance_preserving(10, "sub-vp", 0.05), plain("ddim", False)),
    ("dpm-solver-pp-2m", 16, MODES, karras(20.0, 0.02, 16), plain("dpm-solver-pp-2m")),
    ("dpm-solver-pp-2m-variance-preserving", 12, UNEQUAL, variance_preserving(15), plain("dpm-solver-pp-2m")),
    ("dpm-solver-pp-2m-plain", 8, NORMAL, geometric(5.0, 0.1, 7), plain("dpm-solver-pp-2m", False)),
    ("edm", 16, MODES, karras(80.0, 0.002, 18), churned(0.0)),
    ("edm-churn", 12, UNEQUAL, karras(20.0, 0.02, 15), churned(4.0, 0.05, 10.0, 1.003)),
    ("edm-churn-throughout", 8, NORMAL, karras(10.0, 0.05, 10, 3.0), churned(30.0)),
    ("edm-variance-preserving", 12, UNEQUAL, variance_preserving(16), churned(3.0, 0.05, 50.0)),
    ("heun", 16, MODES, karras(20.0, 0.02, 16), plain("probability-flow")),
    ("heun-variance-preserving", 12, UNEQUAL, variance_preserving(20), plain("probability-flow")),
    ("heun-plain", 8, NORMAL, geometric(5.0, 0.1, 10), plain("probability-flow", False)),
]


# Files.


def end(data, schedule, options, x, noise):
    """Where chains end, in the precision of x, and how many draws that took."""
    sigmas, alphas = ladder(schedule)
    sigmas, alphas = sigmas.astype(x.dtype), alphas.astype(x.dtype)
    taken = 0

    def normals():
        nonlocal taken
        taken += 1
        return noise[taken - 1]

    def s(x, at):
        # EDM's σ̂ is no level of the ladder.
        alpha, sigma = at if options["kind"] == "edm" else (alphas[at], sigmas[at])
        return mixture_score(data, x, alpha, sigma)

    return ALGORITHMS[options["kind"]](x, s, sigmas, alphas, normals, options), taken


def vector(case):
    name, chains, data, schedule, options = case
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    sigmas, alphas = ladder(schedule)
    dimension = len(data["means"][0])
    start = max(sigmas[0], 1.0) * rng.standard_normal((chains, dimension)) + alphas[0] * np.mean(data["means"], 0)
    x = start.astype(np.float32)
    pile = rng.standard_normal((200, chains, dimension)).astype(np.float32)
    expected, taken = end(data, schedule, options, x.astype(np.float64), pile.astype(np.float64))
    rounded, _ = end(data, schedule, options, x, pile)
    assert rounded.dtype == np.float32
    largest = abs(expected).max()
    rounding = abs(rounded.astype(np.float64) - expected).max() / largest
    if not (np.isfinite(expected).all() and rounding < MOST_ROUNDING):
        sys.exit(f"{name}: float32 is off by {rounding:.1e}")
    print(f"{name:40} {taken:3} draws  float32 {rounding:.1e}")
    arrays = {"x": x, "expected": expected.astype(np.float32)}
    if taken > 0:
        arrays["noise"] = pile[: taken + SPARE]
    return arrays


def experiment(case):
    _, _, data, schedule, options = case
    tables = {"data": data | {"train": 16, "held-out": 8}, "network": {"kind": "exact"}}
    text = "\n".join(table_text(n, t) for n, t in (tables | {"schedule": schedule, "sampler": options}).items())
    assert tomllib.loads(text)["sampler"] == options
    return text


def safetensors(arrays, metadata):
    """The format by hand: the same arrays give the same bytes."""
    header, offset = {"__metadata__": metadata}, 0
    for name in sorted(arrays):
        size = arrays[name].size * 4
        header[name] = {"dtype": "F32", "shape": list(arrays[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    body = b"".join(np.ascontiguousarray(arrays[name], "<f4").tobytes() for name in sorted(arrays))
    return len(head).to_bytes(8, "little") + head + body


def main():
    made = {}
    for case in CASES:
        made[f"sampler-{case[0]}"] = safetensors(vector(case), {"experiment": experiment(case), "source": SOURCE})
    assert len(made) == len(CASES), "two cases of one name"
    for name, content in made.items():
        path = FOLDER / f"{name}.safetensors"
        if "--check" not in sys.argv:
            path.write_bytes(content)
        elif path.read_bytes() != content:
            sys.exit(f"{path.name} is another now")
    stray = {path.stem for path in FOLDER.glob("sampler-*.safetensors")} - set(made)
    if stray:
        sys.exit(f"nobody makes {', '.join(sorted(stray))}")
    print(f"{len(made)} files")


if __name__ == "__main__":
    main()
