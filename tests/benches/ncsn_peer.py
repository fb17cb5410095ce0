"""The network of NCSN (Song & Ermon 2019, arXiv 1907.05600, appendix A) in PyTorch, its parts called as the authors call theirs."""

from torch import nn
from torch.nn import functional as F


class Norm(nn.Module):
    """Instance normalisation++ with a row of γ, α and β for each level."""

    def __init__(self, channels, levels):
        super().__init__()
        self.embed = nn.Embedding(levels, 3 * channels)

    def forward(self, x, level):
        gamma, alpha, beta = self.embed(level)[..., None, None].chunk(3, 1)
        mu = x.mean((2, 3), keepdim=True)
        mu = (mu - mu.mean(1, keepdim=True)) / (mu.var(1, keepdim=True) + 1e-5).sqrt()
        return gamma * (F.instance_norm(x) + alpha * mu) + beta


def conv(inputs, outputs, dilation=1, bias=True, kernel=3):
    return nn.Conv2d(inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=bias)


class Halving(nn.Module):
    """A convolution, and means of 2×2 pixels."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.conv = conv(inputs, outputs, kernel=kernel)

    def forward(self, x):
        return F.avg_pool2d(self.conv(x), 2)


class Block(nn.Module):
    """A residual block; `step` is "keep", "halve" or a dilation, and `first` says whether a stage begins with it."""

    def __init__(self, inputs, outputs, step, first, levels):
        super().__init__()
        dilation = step if isinstance(step, int) else 1
        halve = first and step == "halve"
        self.normalize1, self.normalize2 = Norm(inputs, levels), Norm(inputs, levels)
        self.conv1 = conv(inputs, inputs, dilation)
        self.conv2 = Halving(inputs, outputs, 3) if halve else conv(inputs, outputs, dilation)
        if halve:
            self.shortcut = Halving(inputs, outputs, 1)
        elif first and dilation > 1:
            self.shortcut = conv(inputs, outputs, dilation)
        else:
            self.shortcut = None

    def forward(self, x, level):
        h = self.conv1(F.elu(self.normalize1(x, level)))
        h = self.conv2(F.elu(self.normalize2(h, level)))
        return h + (x if self.shortcut is None else self.shortcut(x))


class Units(nn.Module):
    """Residual convolution units."""

    def __init__(self, channels, blocks, levels):
        super().__init__()
        self.blocks = blocks
        for i in (f"{block}_{unit}" for block in range(1, blocks + 1) for unit in (1, 2)):
            self.add_module(f"{i}_norm", Norm(channels, levels))
            self.add_module(f"{i}_conv", conv(channels, channels, bias=False))

    def forward(self, x, level):
        part = self._modules
        for block in range(1, self.blocks + 1):
            h = x
            for unit in (1, 2):
                h = part[f"{block}_{unit}_conv"](F.elu(part[f"{block}_{unit}_norm"](h, level)))
            x = h + x
        return x


class Fusion(nn.Module):
    """The sum of convolutions, each resized."""

    def __init__(self, inputs, features, levels):
        super().__init__()
        self.norms = nn.ModuleList(Norm(channels, levels) for channels in inputs)
        self.convs = nn.ModuleList(conv(channels, features) for channels in inputs)

    def forward(self, xs, level):
        size = xs[0].shape[2:]
        parts = (c(n(x, level)) for x, n, c in zip(xs, self.norms, self.convs))
        return sum(F.interpolate(h, size=size, mode="bilinear", align_corners=True) for h in parts)


class Pooling(nn.Module):
    """Chained residual pooling."""

    def __init__(self, features, levels):
        super().__init__()
        self.norms = nn.ModuleList(Norm(features, levels) for _ in range(2))
        self.convs = nn.ModuleList(conv(features, features, bias=False) for _ in range(2))

    def forward(self, x, level):
        total = path = F.elu(x)
        for n, c in zip(self.norms, self.convs):
            path = c(F.avg_pool2d(n(path, level), 5, stride=1, padding=2))
            total = total + path
        return total


class Refine(nn.Module):
    def __init__(self, inputs, features, levels, last=False):
        super().__init__()
        self.adapt_convs = nn.ModuleList(Units(channels, 2, levels) for channels in inputs)
        self.msf = Fusion(inputs, features, levels) if len(inputs) > 1 else None
        self.crp = Pooling(features, levels)
        self.output_convs = Units(features, 3 if last else 1, levels)

    def forward(self, xs, level):
        hs = [units(x, level) for units, x in zip(self.adapt_convs, xs)]
        h = hs[0] if self.msf is None else self.msf(hs, level)
        return self.output_convs(self.crp(h, level), level)


class Ncsn(nn.Module):
    def __init__(self, image_channels, channels, levels):
        super().__init__()
        n = channels
        stages = [(n, n, "keep"), (n, 2 * n, "halve"), (2 * n, 2 * n, 2), (2 * n, 2 * n, 4)]
        refines = [([2 * n], 2 * n), ([2 * n] * 2, 2 * n), ([2 * n] * 2, n), ([n] * 2, n)]
        self.begin_conv, self.end_conv = conv(image_channels, n), conv(n, image_channels)
        self.normalizer = Norm(n, levels)
        for i, (inputs, outputs, step) in enumerate(stages, 1):
            blocks = Block(inputs, outputs, step, True, levels), Block(outputs, outputs, step, False, levels)
            self.add_module(f"res{i}", nn.ModuleList(blocks))
        for i, (inputs, features) in enumerate(refines, 1):
            self.add_module(f"refine{i}", Refine(inputs, features, levels, last=i == len(refines)))

    def forward(self, x, level):
        h = self.begin_conv(2 * x - 1)
        layers = []
        for i in range(1, 5):
            for block in self._modules[f"res{i}"]:
                h = block(h, level)
            layers.append(h)
        coarser = []
        for i, layer in enumerate(reversed(layers), 1):
            coarser = [self._modules[f"refine{i}"]([layer, *coarser], level)]
        return self.end_conv(F.elu(self.normalizer(coarser[0], level)))
