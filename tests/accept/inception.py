"""pytorch-fid, to be held against stein: make, fid SAMPLES HELD-OUT, or frechet.

`make` draws weights of pytorch-fid's network and writes them as PyTorch and as safetensors: weights.pth, legacy.pth and
weights.safetensors; and pictures of numbers from 0 to 1, colour.npy and grey.npy, with the features of PNGs of them by that network,
colour-right.npy and so on, and those of what is almost the same: of pools that count what lies beyond an edge (counted), of a mean where
there is a maximum (mean), of numbers that were cut off or not rounded to 8 bits (cut, unrounded), of a resize that smooths (smoothed).
It also writes files of pictures for stein to learn from, to `pictures`.

`fid` writes the samples and the held-out rows of a run as PNGs and prints the FID that pytorch-fid computes of them, the KID of the
features that it computes, and the FID of the samples and the pictures that the run learned from: all that are not held out. `frechet` writes pairs of features, x-I.npy and y-I.npy, and prints the distance of each pair.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_fid import fid_score, inception
from safetensors.torch import save_file
from torchvision.models import inception_v3
from torchvision.utils import save_image

PICTURES = 12


def draw_weights():
    """A state dict of the published network's names and shapes, such that numbers neither grow nor vanish from layer to layer."""
    generator = torch.Generator().manual_seed(5)
    shapes = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    weights = {}
    for name, value in shapes.state_dict().items():
        z = torch.randn(value.shape, generator=generator) if value.is_floating_point() else None
        if name.endswith("conv.weight"):
            weights[name] = z * (2 / value[0].numel()) ** 0.5
        elif name.endswith("bn.weight"):
            weights[name] = 1 + 0.1 * z
        elif name.endswith(("bn.bias", "bn.running_mean")):
            weights[name] = 0.1 * z
        elif name.endswith("bn.running_var"):
            weights[name] = 1 + 0.3 * z.tanh()
        else:
            weights[name] = value if z is None else 0.01 * z
    return weights



def network(weights):
    inception.load_state_dict_from_url = lambda *_, **__: weights
    return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()


def blobs(count, channels, height, width, seed):
    """Smooth colours with some grain, some pictures dark and some of little contrast."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:1 : height * 1j, 0:1 : width * 1j]
    out = np.zeros([count, channels, height, width])
    for picture in out:
        for channel in picture:
            for _ in range(4):
                (a, b), s = random.uniform(0, 1, 2), random.uniform(0.1, 0.4)
                channel += random.uniform(0.1, 0.7) * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * s * s))
        picture += random.normal(0, 0.03, picture.shape)
        picture *= random.choice([0.01, 0.3, 1.0])
    # Some lie outside and are cut.
    return (out - 0.002).astype("f4")


def write_pngs(pictures, folder):
    Path(folder).mkdir()
    for i, picture in enumerate(pictures):
        save_image(torch.from_numpy(np.ascontiguousarray(picture)), f"{folder}/{i:04}.png")


def features(module, folder):
    files = sorted(Path(folder).glob("*.png"))
    return fid_score.get_activations(files, module, batch_size=8, num_workers=0).astype("f4")


def features_of(module, pictures):
    with torch.no_grad():
        x = torch.from_numpy(pictures).expand(-1, 3, -1, -1)
        return module(x)[0].flatten(1).numpy()


def make():
    weights = draw_weights()
    torch.save(weights, "weights.pth")
    torch.save(weights, "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(weights, "weights.safetensors")
    module = network(weights)
    for name, channels, height, width in [("colour", 3, 32, 40), ("grey", 1, 28, 28), ("large", 3, 310, 305)]:
        count = 3 if name == "large" else PICTURES
        pictures = blobs(count, channels, height, width, seed=height)
        np.save(f"{name}.npy", pictures)
        write_pngs(pictures, name)
        np.save(f"{name}-right.npy", features(module, name))
        inside = pictures.clip(0, 1)
        np.save(f"{name}-unrounded.npy", features_of(module, inside))
        np.save(f"{name}-cut.npy", features_of(module, np.floor(255 * inside) / np.float32(255)))
        rounded = np.floor(255 * inside + 0.5) / np.float32(255)
        with_pools(lambda: np.save(f"{name}-counted.npy", features_of(module, rounded)), counted)
        with_pools(lambda: np.save(f"{name}-mean.npy", features_of(module, rounded)), mean)
        with_resize(lambda: np.save(f"{name}-smoothed.npy", features_of(module, rounded)))
    write_pngs(blobs(160, 3, 12, 10, seed=1).clip(0, 1), "pictures")


def counted(average, maximum):
    def counting(x, **options):
        return average(x, **{**options, "count_include_pad": True})

    return counting, maximum


def mean(average, maximum):
    def instead(x, kernel_size, stride, padding):
        return average(x, kernel_size=kernel_size, stride=stride, padding=padding, count_include_pad=False)

    return average, instead


def with_pools(work, other):
    # pytorch-fid's blocks call these by this name; torchvision's own blocks have another reference to the same module.
    before = F.avg_pool2d, F.max_pool2d
    halving = before[1]
    average, maximum = other(*before)
    F.avg_pool2d = average
    about_each = lambda options: (options.get("padding"), options.get("stride")) == (1, 1)
    F.max_pool2d = lambda x, *sizes, **options: (maximum if about_each(options) else halving)(x, *sizes, **options)
    try:
        work()
    finally:
        F.avg_pool2d, F.max_pool2d = before


def with_resize(work):
    before = F.interpolate
    F.interpolate = lambda x, **options: before(x, antialias=True, **options)
    try:
        work()
    finally:
        F.interpolate = before


def fid(samples, held_out):
    weights = torch.load("weights.pth")
    network(weights)
    shape = [-1, 3, 12, 10]
    write_pngs(np.load(samples).reshape(shape), "samples-png")
    # The whole numbers that uniform noise was added to.
    whole = np.floor(256 * np.load(held_out).reshape(shape).astype("f8")).clip(0, 255) / 255
    write_pngs(whole.astype("f4"), "held-out-png")
    folders = ["samples-png", "held-out-png"]
    options = {"batch_size": 8, "device": "cpu", "dims": 2048, "num_workers": 0}
    value = fid_score.calculate_fid_given_paths(folders, **options)
    bits = lambda file: np.asarray(Image.open(file).convert("RGB")).tobytes()
    unseen = {bits(file) for file in Path("held-out-png").glob("*.png")}
    training = [file for file in Path("pictures").glob("*.png") if bits(file) not in unseen]
    assert len(training) == 120, len(training)
    Path("training-png").mkdir()
    [shutil.copy(file, "training-png") for file in training]
    of_training = fid_score.calculate_fid_given_paths(["samples-png", "training-png"], **options)
    x, y = (features(network(weights), folder).astype("f8") for folder in folders)
    kernel = lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3
    apart = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    kid = apart(kernel(x, x)) + apart(kernel(y, y)) - 2 * kernel(x, y).mean()
    print(json.dumps({"fid": float(value), "kid": float(kid), "fid-training": float(of_training)}))


def frechet():
    random = np.random.default_rng(3)
    out = []
    for i, (n, m, d) in enumerate([(300, 280, 64), (400, 150, 130), (1500, 1600, 600), (60, 45, 200)]):
        mix = random.normal(size=[d, d]) * np.geomspace(1, 1e-3, d)
        x = (random.normal(size=[n, d]) @ mix.T).astype("f4")
        y = (random.normal(size=[m, d]) @ mix + random.uniform(0, 0.2, d)).astype("f4")
        np.save(f"x-{i}.npy", x)
        np.save(f"y-{i}.npy", y)
        statistics = [f(v.astype("f8")) for v in (x, y) for f in (lambda v: v.mean(0), lambda v: np.cov(v, rowvar=False))]
        out.append(float(fid_score.calculate_frechet_distance(*statistics)))
    print(json.dumps(out))


if __name__ == "__main__":
    {"make": make, "fid": fid, "frechet": frechet}[sys.argv[1]](*sys.argv[2:])
