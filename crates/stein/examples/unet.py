"""stein's U-Net in PyTorch. Unet.load("digits.safetensors")(x, sigma) is the score that `stein score` gives."""

import json

import torch
from safetensors import safe_open
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, one_hot, silu

FREQUENCIES = 0.25 * 32 ** (torch.arange(16, dtype=torch.float64) / 15)


def norm(groups, channels):
    """As many groups as divide the channels."""
    return nn.GroupNorm(max(g for g in range(1, groups + 1) if channels % g == 0), channels)


class Block(nn.Module):
    def __init__(self, inputs, outputs, embedding, groups):
        super().__init__()
        self.norm_in, self.norm_out = norm(groups, inputs), norm(groups, outputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.conv_out = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, embedding):
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        h = self.norm_out(self.conv_in(silu(self.norm_in(x)))) * (1 + scale) + shift
        return self.skip(x) + self.conv_out(silu(h))


class Unet(nn.Module):
    def __init__(self, about):
        super().__init__()
        table, self.about = about["network"], about
        height, width, colours = about["image"]
        self.image = (colours, height, width)
        channels, groups, blocks = table["channels"], table["groups"], table["blocks"]
        widths = [channels * m for m in table["multipliers"]]
        embedding = 2 * channels
        self.embed_in, self.embed_out = nn.Linear(32, embedding), nn.Linear(embedding, embedding)
        self.embed_class = nn.Linear(about["classes"] + 1, embedding) if about["classes"] else None
        self.conv_in = nn.Conv2d(colours, channels, 3, padding=1)

        def stage(inputs, outputs):
            ins = [inputs] + [outputs] * (blocks - 1)
            return nn.ModuleList(Block(i, outputs, embedding, groups) for i in ins)

        self.down = nn.ModuleList(map(stage, [channels] + widths[:-1], widths))
        # The first block of a stage also takes what the way down left at its resolution.
        self.up = nn.ModuleList(stage(below + own, own) for below, own in zip(widths[:0:-1], widths[-2::-1]))
        self.norm_out = nn.GroupNorm(groups, widths[0])
        self.conv_out = nn.Conv2d(widths[0], colours, 3, padding=1)

    @classmethod
    def load(cls, path):
        with safe_open(path, "pt") as file:
            network = cls(json.loads(file.metadata()["stein"]))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
        return network

    def raw(self, x, ratio, classes):
        """F at x [B, D], where ratio is σ/α, [B, 1]; without classes, that of the whole law."""
        phase = ratio.log() * FREQUENCIES.float()
        e = self.embed_out(silu(self.embed_in(torch.cat([phase.sin(), phase.cos()], 1))))
        if self.embed_class is not None:
            null = self.about["classes"]
            classes = torch.full([len(x)], null) if classes is None else classes
            e = e + self.embed_class(one_hot(classes, null + 1).float())
        e = silu(e)
        h, skips = self.conv_in(x.reshape(-1, *self.image)), []
        for i, stage in enumerate(self.down):
            if i > 0:
                skips.append(h)
                h = avg_pool2d(h, 2)
            for block in stage:
                h = block(h, e)
        for stage in self.up:
            h = torch.cat([interpolate(h, scale_factor=2), skips.pop()], 1)
            for block in stage:
                h = block(h, e)
        return self.conv_out(silu(self.norm_out(h))).reshape(len(x), -1)

    def forward(self, x, sigma, alpha=1.0, classes=None):
        """The score at x [B, D], σ [B, 1] and α."""
        f = self.raw(x, sigma / alpha, classes)
        scores = {
            "score": lambda: f,
            "scaled": lambda: f / sigma,
            "noise": lambda: -f / sigma,
            "denoiser": lambda: (alpha * f - x) / sigma**2,
        }
        return scores[self.about["parameterization"]]()
