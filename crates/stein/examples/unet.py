"""stein's U-Net in PyTorch. Unet.load("digits.safetensors")(x, sigma) is the score that `stein score` gives."""

import json
from math import pi, sqrt
from statistics import NormalDist

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, one_hot, pixel_shuffle, pixel_unshuffle
from torch.nn.functional import scaled_dot_product_attention, silu


def frequencies(table):
    if table["embedding"] == "sine-cosine":
        return (0.25 * 32 ** (torch.arange(16, dtype=torch.float64) / 15)).float()
    n = table["channels"]
    return torch.tensor([2 * pi * 16 * NormalDist().inv_cdf(0.5 + (i + 0.5) / (2 * n)) for i in range(n)])


def norm(groups, channels):
    """As many groups as divide the channels."""
    return nn.GroupNorm(max(g for g in range(1, groups + 1) if channels % g == 0), channels)


def conv3x3(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Attention(nn.Module):
    def __init__(self, channels, table):
        super().__init__()
        self.norm = norm(table["groups"], channels)
        self.qkv, self.proj = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)
        self.heads, self.scale = table["heads"], sqrt(0.5) if table["scale-skips"] else 1.0

    def forward(self, x):
        q, k, v = (part.flatten(2).unflatten(1, (self.heads, -1)).mT for part in self.qkv(self.norm(x)).chunk(3, 1))
        h = scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
        return (x + self.proj(h)) * self.scale


class Block(nn.Module):
    def __init__(self, inputs, outputs, attends, table):
        super().__init__()
        groups, embedding = table["groups"], 2 * table["channels"]
        self.norm_in, self.norm_out = norm(groups, inputs), norm(groups, outputs)
        self.conv_in, self.conv_out = conv3x3(inputs, outputs), conv3x3(outputs, outputs)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.attention = Attention(outputs, table) if attends else nn.Identity()
        self.scale = sqrt(0.5) if table["scale-skips"] else 1.0

    def forward(self, x, embedding):
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.norm_out(self.conv_in(silu(self.norm_in(x)))) * (1 + scale) + shift
        return self.attention((self.skip(x) + self.conv_out(silu(h))) * self.scale)


class Unet(nn.Module):
    def __init__(self, about):
        super().__init__()
        table, self.about = about["network"], about
        height, width, colours = about["image"]
        self.image, self.patch = (colours, height, width), table["patch"]
        self.register_buffer("frequencies", frequencies(table), persistent=False)
        channels, blocks, pixels = table["channels"], table["blocks"], colours * table["patch"] ** 2
        widths, embedding = [channels * m for m in table["multipliers"]], 2 * channels
        attends = [(height // self.patch) >> i in table["attention"] for i in range(len(widths))]
        self.each = table["skips"] == "block"
        self.embed_in, self.embed_out = nn.Linear(2 * len(self.frequencies), embedding), nn.Linear(embedding, embedding)
        self.embed_class = nn.Linear(about["classes"] + 1, embedding) if about["classes"] else None
        self.conv_in, self.conv_out = conv3x3(pixels, channels), conv3x3(widths[0], pixels)
        self.norm_out = nn.GroupNorm(table["groups"], widths[0])

        def stage(beside, before, i):
            """A block for each entry of `beside`, the channels that are put beside its input."""
            ins = [before] + [widths[i]] * (len(beside) - 1)
            return nn.ModuleList(Block(a + b, widths[i], attends[i], table) for a, b in zip(ins, beside))

        levels, last = range(len(widths)), len(widths) - 1
        self.down = nn.ModuleList(stage([0] * blocks, ([channels] + widths)[i], i) for i in levels)
        if self.each:
            self.middle = nn.ModuleList(Block(widths[last], widths[last], attend, table) for attend in (True, False))
            # Each block also takes what the way down left last.
            left = [[([channels] + widths)[i]] + [widths[i]] * blocks for i in levels]
            up = [stage(left[i][::-1], widths[min(i + 1, last)], i) for i in reversed(levels)]
        else:
            self.middle = []
            # The first block of a stage also takes what the way down left at its resolution.
            up = [stage([widths[i]] + [0] * (blocks - 1), widths[i + 1], i) for i in reversed(levels[:-1])]
        self.up = nn.ModuleList(up)
        convolves = table["resampling"] == "convolution"
        self.shrink = nn.ModuleList(conv3x3(w, w) for w in widths[:-1] if convolves)
        self.grow = nn.ModuleList(conv3x3(w, w) for w in widths[:0:-1] if convolves)

    @classmethod
    def load(cls, path):
        with safe_open(path, "pt") as file:
            network = cls(json.loads(file.metadata()["stein"]))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
        return network

    def raw(self, x, ratio, classes):
        """F at x [B, D], where ratio is σ/α, [B, 1]; without classes, that of the whole law."""
        phase = ratio.log() * self.frequencies
        e = self.embed_out(silu(self.embed_in(torch.cat([phase.sin(), phase.cos()], 1))))
        if self.embed_class is not None:
            null = self.about["classes"]
            classes = torch.full([len(x)], null) if classes is None else classes
            e = e + self.embed_class(one_hot(classes, null + 1).float())
        e = silu(e)
        h, skips = self.conv_in(pixel_unshuffle(x.reshape(-1, *self.image), self.patch)), []
        for i, stage in enumerate(self.down):
            if i > 0:
                skips += [] if self.each else [h]
                h = avg_pool2d(h, 2)
                h = self.shrink[i - 1](h) if self.shrink else h
            skips += [h] if self.each else []
            for block in stage:
                h = block(h, e)
                skips += [h] if self.each else []
        for block in self.middle:
            h = block(h, e)
        for i, stage in enumerate(self.up):
            doubling = i - self.each
            if doubling >= 0:
                h = interpolate(h, scale_factor=2)
                h = self.grow[doubling](h) if self.grow else h
            for j, block in enumerate(stage):
                h = torch.cat([h, skips.pop()], 1) if self.each or j == 0 else h
                h = block(h, e)
        return pixel_shuffle(self.conv_out(silu(self.norm_out(h))), self.patch).reshape(len(x), -1)

    def forward(self, x, sigma, alpha=1.0, classes=None):
        """The score at x [B, D], σ [B, 1] and α."""
        if self.about["parameterization"] == "edm":
            ratio, data = sigma / alpha, self.about["network"]["sigma-data"]
            c_in = 1 / (ratio**2 + data**2) ** 0.5
            u = c_in * x / alpha
            return data * c_in / sigma * self.raw(u, ratio, classes) - c_in / alpha * u
        f = self.raw(x, sigma / alpha, classes)
        scores = {
            "score": lambda: f,
            "scaled": lambda: f / sigma,
            "noise": lambda: -f / sigma,
            "denoiser": lambda: (alpha * f - x) / sigma**2,
        }
        return scores[self.about["parameterization"]]()
