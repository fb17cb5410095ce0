"""Makes the parity files of the score SDE's networks: what the authors' own code puts out, and the weights with which it does.

    python score_sde.py SCORE_SDE           writes ncsnpp-*.safetensors beside this file
    python score_sde.py SCORE_SDE --check   compares those that are there with what the authors' code gives

SCORE_SDE is a checkout of github.com/yang-song/score_sde_pytorch. Weights are the authors' initial ones, but for those that begin as zeros
and would hide mistakes: all are moved. Scores are the authors' `get_score_fn`'s, computed in float64 from weights as they are rounded to
float32, at noisy data x₀ + σ z: the authors' t is the one at which their `marginal_prob` has that ratio of noise to signal. What is easily got
wrong is done wrong on purpose, and must be seen.
"""

import importlib
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.cpp_extension
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from make import FOLDER, SCALES, SEEN, apart, ladder, replaced

# Of float32 against float64.
ROUNDING = 5e-5
SIGMA_MAX, SIGMA_MIN, EXAMPLES = 50.0, 0.01, 2
COMMON = {"kind": "ncsnpp", "channels": 8, "multipliers": [1, 1], "blocks": 1, "attention": [4]}

# name: [network] beside what is common, image [C, H, W], L, numbers of the examples' levels
CASES = {
    # NCSN++ of CIFAR-10, DDPM++ of CIFAR-10, NCSN++ of 256 pixels, and what is left.
    "ncsnpp-ve": ({"fourier-scale": 1.0}, [1, 8, 8], 12, [6, 0]),
    "ncsnpp-vp": ({"resampling": "naive", "progressive-input": "none", "embedding": "positional", "sde": "vp", "parameterization": "noise"}, [1, 8, 8], 12, [3, 8]),
    "ncsnpp-sub-vp": ({"embedding": "positional", "sde": "sub-vp", "parameterization": "noise"}, [1, 8, 8], 12, [8, 4]),
    "ncsnpp-skips": ({"progressive": "output-skip", "progressive-input": "input-skip", "fourier-scale": 1.0}, [2, 8, 8], 12, [5, 9]),
    "ncsnpp-fir": ({"block": "ddpm", "progressive": "residual", "embedding": "positional", "continuous": False}, [1, 8, 8], 12, [4, 7]),
    "ncsnpp-ddpm": ({"multipliers": [1, 2], "block": "ddpm", "resampling": "naive", "progressive": "residual", "progressive-input": "input-skip", "combine": "cat", "embedding": "positional", "sde": "vp", "parameterization": "noise", "continuous": False, "scale-skips": False}, [1, 8, 8], 12, [5, 8]),
}
DEFAULTS = {
    "block": "biggan", "resampling": "fir", "resample-convolution": True, "progressive": "none", "progressive-input": "residual", "combine": "sum",
    "embedding": "fourier", "fourier-scale": 16.0, "scale-skips": True, "sde": "ve", "continuous": True, "rescale": True,
}


class Original:
    """The authors' modules, out of a checkout."""

    def __init__(self, checkout):
        # Their resampling has a kernel for GPUs, compiled where it is imported; on CPUs it is not used.
        torch.utils.cpp_extension.load = lambda *_, **__: None
        sys.path.insert(0, str(checkout))
        for module in ["ddpm", "ncsnpp", "layers", "layerspp", "up_or_down_sampling", "utils"]:
            setattr(self, module, importlib.import_module(f"models.{module}"))
        self.sde_lib = importlib.import_module("sde_lib")
        self.up_or_down_sampling.upsample_conv_2d = self.upsample_conv_2d
        # `Upsample` says 'nearest' in the place of a scale, which PyTorch refuses.
        interpolate = F.interpolate
        F.interpolate = lambda x, size, *_, **__: interpolate(x, size, mode="nearest")

    def upsample_conv_2d(self, x, w, k=None, factor=2, gain=1):
        """Theirs, which has a step of -1 in a slice, that PyTorch refuses: `flip` in its place."""
        up = self.up_or_down_sampling
        taps = up._setup_kernel(k) * (gain * factor**2)
        p = len(taps) - factor - (w.shape[-1] - 1)
        x = F.conv_transpose2d(x, w.flip(2, 3).transpose(0, 1), stride=factor)
        return up.upfirdn2d(x, torch.tensor(taps), pad=((p + 1) // 2 + factor - 1, p // 2 + 1))

    def config(self, network, image, levels):
        keys = DEFAULTS | network
        model = SimpleNamespace(
            nf=keys["channels"], ch_mult=tuple(keys["multipliers"]), num_res_blocks=keys["blocks"], attn_resolutions=tuple(keys["attention"]),
            resblock_type=keys["block"], fir=keys["resampling"] == "fir", fir_kernel=[1, 3, 3, 1], resamp_with_conv=keys["resample-convolution"],
            progressive=keys["progressive"].replace("-", "_"), progressive_input=keys["progressive-input"].replace("-", "_"),
            progressive_combine=keys["combine"], embedding_type=keys["embedding"], fourier_scale=keys["fourier-scale"],
            skip_rescale=keys["scale-skips"], scale_by_sigma=keys["sde"] == "ve", conditional=True, nonlinearity="swish", normalization="GroupNorm",
            dropout=0.1, init_scale=0.0, sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, num_scales=levels if keys["sde"] == "ve" else 1000,
        )
        # Of `ve` the data are in [0, 1], of the others in [-1, 1].
        data = SimpleNamespace(image_size=image[1], num_channels=image[0], centered=keys["sde"] != "ve")
        return SimpleNamespace(model=model, data=data, training=SimpleNamespace(continuous=keys["continuous"]))

    def build(self, network, image, levels, plain=False):
        """`models/ncsnpp.py`, or the plain `models/ddpm.py`, which has 32 groups however many channels there are."""
        architecture = self.ddpm.DDPM if plain else self.ncsnpp.NCSNpp
        module = architecture(self.config(network, image, levels)).eval()
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if name.endswith(".W") and weight.dim() == 1:
                    continue
                # Attention that is too sharp at three times the weights has no digits left in single precision.
                size = 0.3 if name.endswith(".W") else 1.0
                spread = 0.1 if weight.dim() == 1 else size / math.sqrt(weight[0].numel())
                weight.add_(spread * torch.randn_like(weight))
        return module

    def variance_preserving(self, name):
        """Their SDE, its levels in double precision."""
        torch.set_default_dtype(torch.float64)
        sde = {"vp": self.sde_lib.VPSDE, "sub-vp": self.sde_lib.subVPSDE}[name](0.1, 20.0, 1000)
        torch.set_default_dtype(torch.float32)
        return sde

    def ratios(self, sde):
        """Of noise to signal, at each of DDPM's levels."""
        return sde.sqrt_1m_alphas_cumprod / sde.sqrt_alphas_cumprod

    def sigmas(self, network, levels):
        """A ladder, in the unit of data in [0, 1]; of networks that know levels by number, one of levels that they know."""
        keys = DEFAULTS | network
        if keys["sde"] == "ve" or keys["continuous"]:
            return ladder(SIGMA_MAX, levels)
        ratios = self.ratios(self.variance_preserving(keys["sde"]))
        return (ratios / 2)[torch.linspace(999, 0, levels).round().long()].numpy()

    def score(self, module, network, x, sigma, levels):
        """The score of data in [0, 1] with noise of standard deviation sigma, by the authors' functions."""
        keys, ones = DEFAULTS | network, torch.ones_like(sigma)
        if keys["sde"] == "ve":
            sde = self.sde_lib.VESDE(SIGMA_MIN, SIGMA_MAX, levels)
            t = torch.log(sigma.double() / SIGMA_MIN) / math.log(SIGMA_MAX / SIGMA_MIN)
            # From σ to t and back digits are lost in single precision, which high frequencies make many.
            exactly = sde.marginal_prob
            sde.marginal_prob = lambda x, t: (x, exactly(x, t)[1].to(x.dtype))
            return self.utils.get_score_fn(sde, module, continuous=keys["continuous"])(x, t)
        sde = self.variance_preserving(keys["sde"])
        if not keys["continuous"]:
            number = (self.ratios(sde) - 2 * sigma.double()[:, None]).abs().argmin(1)
            signal = sde.sqrt_alphas_cumprod[number].to(x.dtype).view(-1, 1, 1, 1)
            # Their number is rounded down.
            score_of = self.utils.get_score_fn(sde, module, continuous=False)
            return (2 * signal * score_of(signal * (2 * x - 1), (number + 1e-11) / 999)).to(x.dtype)

        def marginal(t):
            signal, noise = sde.marginal_prob(torch.ones(len(t), 1, 1, 1, dtype=t.dtype), t)
            return signal.flatten(), noise

        low, high = 0 * ones.double(), ones.double()
        for _ in range(100):
            t = (low + high) / 2
            signal, noise = marginal(t)
            above = noise > 2 * sigma.double() * signal
            low, high = torch.where(above, low, t), torch.where(above, t, high)
        t = high.to(x.dtype)
        signal = marginal(t)[0].view(-1, 1, 1, 1)
        # By the chain rule, of data 2 x - 1.
        return 2 * signal * self.utils.get_score_fn(sde, module, continuous=True)(signal * (2 * x - 1), t)


def positional(timesteps, width, max_positions=10000):
    """The authors' embedding in the precision of what it is given; theirs is always in single precision."""
    half = width // 2
    phase = timesteps[:, None] * torch.exp(torch.arange(half, dtype=timesteps.dtype) * -(math.log(max_positions) / (half - 1)))
    return torch.cat([torch.sin(phase), torch.cos(phase)], dim=1)


def outputs(original, module, case, weights, x, sigma, scale, dtype):
    network, _, levels = case
    parameters = {name for name, _ in module.named_parameters()}
    module = module.to(dtype)
    module.load_state_dict({name: w.to(dtype) * (scale if name in parameters else 1) for name, w in weights.items()})

    def exact(before):
        def of(timesteps, width):
            if dtype != torch.float64:
                return before(timesteps, width)
            exactly = positional(timesteps.double(), width)
            assert (exactly - before(timesteps, width)).abs().max() < 1e-3
            return exactly

        return of

    # The filter's taps are eighths, exact in any precision.
    cast = lambda before: lambda x, taps, **how: before(x, taps.to(x.dtype), **how)
    resampling = replaced(original.up_or_down_sampling, "upfirdn2d", cast)
    with torch.no_grad(), replaced(original.layers, "get_timestep_embedding", exact), resampling:
        return original.score(module, network, x.to(dtype), sigma.to(dtype), levels)


def mistakes(original, network):
    """What somebody might write, in the authors' modules: (owner, name, by)."""
    keys, up = DEFAULTS | network, original.up_or_down_sampling
    found = {}
    if keys["scale-skips"]:
        found["sums not divided"] = (np, "sqrt", lambda f: lambda a: 1.0 if a == 2.0 else f(a))
    if keys["embedding"] == "fourier":
        found["no 2π"] = (np, "pi", lambda _: 0.5)
    else:
        found["a geometric progression of another ratio"] = (math, "log", lambda f: lambda a: f(a / 2) if a == 10000 else f(a))
    if keys["resampling"] == "fir":
        name = "upsample_2d" if keys["block"] == "biggan" else "upsample_conv_2d"
        found["gain of one on the way up"] = (up, name, lambda f: lambda *given, **how: f(*given, **how, gain=0.25))
        found["another filter"] = (up, "_setup_kernel", lambda f: lambda k: f([1, 2, 2, 1]))
    else:
        found["every other pixel"] = (up if keys["block"] == "biggan" else F, *(
            ("naive_downsample_2d", lambda f: lambda x, factor=2: x[:, :, ::2, ::2]) if keys["block"] == "biggan"
            else ("pad", lambda f: lambda x, pad: f(x, (1, 0, 1, 0)) if pad == (0, 1, 0, 1) else f(x, pad))
        ))
    found["ε a thousand times as large"] = (F, "group_norm", lambda f: lambda x, groups, weight, bias, eps: f(x, groups, weight, bias, 1000 * eps))
    found["a group less"] = (F, "group_norm", lambda f: lambda x, groups, weight, bias, eps: f(x, max(groups // 2, 1), weight, bias, eps))
    found["attention not divided by √C"] = (torch, "reshape", lambda f: lambda x, shape: f(3 * x if x.dim() == 5 and len(shape) == 4 else x, shape))
    return found


# ε is small beside variances of about one: seen where all weights are a tenth.
FAINT = {"ε a thousand times as large"}


def tensors(original, module, case, label, x, weights):
    """A file's tensors."""
    network, _, levels = case
    sigma = torch.tensor(original.sigmas(network, levels)).float()[label]
    found = {"x": x, "label": label.float(), "sigma": sigma}
    of = lambda scale, dtype: outputs(original, module, case, weights, x, sigma, scale, dtype)
    for scale in SCALES:
        exact = of(scale, torch.float64)
        error = apart(of(scale, torch.float32).double(), exact)
        print(f"  times {scale:4}: largest {exact.abs().max():.3e}, float32 off by {error:.1e}")
        assert scale == 10 or error < ROUNDING, "float32 does not agree with float64"
        found["output" if scale == 1 else f"output.{scale:g}"] = exact.float()
    for mistake, (owner, name, by) in mistakes(original, network).items():
        scale = 0.1 if mistake in FAINT else 1.0
        with replaced(owner, name, by):
            error = apart(of(scale, torch.float64), found["output.0.1" if mistake in FAINT else "output"].double())
        print(f"  {mistake}: off by {error:.1e}")
        assert error > SEEN, "the file would not tell"
    return found | {f"network.{name}": w for name, w in weights.items()}


def main(checkout, check):
    original = Original(checkout)
    for name, (own, image, levels, labels) in CASES.items():
        print(name)
        torch.manual_seed(len(name) + levels)
        path, network = FOLDER / f"{name}.safetensors", COMMON | own
        module, case = original.build(network, image, levels), (network, image, levels)
        sigmas = original.sigmas(network, levels)
        if check:
            stored = {key: torch.from_numpy(value) for key, value in load_file(path).items()}
            x, label = stored["x"], stored["label"].long()
            weights = {key.removeprefix("network."): w for key, w in stored.items() if key.startswith("network.")}
        else:
            label, shape = torch.tensor(labels), [EXAMPLES, *image]
            x = torch.rand(shape) + torch.tensor(sigmas).float()[label].view(-1, 1, 1, 1) * torch.randn(shape)
            # Float32: but for the ladder, which this repository keeps in float64, they are that already.
            weights = {key: w.float().clone() for key, w in module.state_dict().items()}
        found = tensors(original, module, case, label, x, weights)
        if check:
            worst = max(apart(found[key].double(), stored[key].double()) for key in stored)
            assert worst < 1e-6, f"{name}: off by {worst}"
            continue
        about = {"network": json.dumps(network), "sigmas": json.dumps(list(sigmas)), "image": json.dumps(image), "source": f"score_sde_pytorch NCSNpp, PyTorch {torch.__version__.split('+')[0]}, float64"}
        save_file({key: np.ascontiguousarray(value.numpy()) for key, value in found.items()}, path, metadata=about)
        with safe_open(path, "numpy") as file:
            print(f"  {path.name}: {path.stat().st_size / 1000:.0f} kB, {len(file.keys())} tensors")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:] if argument != "--check"]
    if len(paths) != 1:
        sys.exit(__doc__)
    main(*paths, check="--check" in sys.argv)
