"""The cases: which formula, on which network, in how many dimensions, at which noise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    dim: int
    batch: int
    hidden: list
    activation: str
    objective: dict  # kind and its keys, spelt as in an experiment file
    parameterization: str = "score"
    sigma: tuple | None = None  # drawn log-uniformly between these, one for each example; None: no noise
    weighting: str | dict = "none"
    sigma_data: float | None = None
    gain: float = 2.0  # weights are uniform on ±gain/√in; PyTorch's default is 1
    kind: str = "mlp"

    @property
    def name(self):
        """From what the case is; no two may agree."""
        table = self.objective
        parts = ["energy"] if self.energy else []
        parts += [table["kind"]]
        if "trace" in table:
            parts.append(table["trace"].replace("+", "p"))
            parts += [table["probe"]] if "probe" in table else []
        parts += ["fd"] if table.get("derivative") == "finite-difference" else []
        parts += ["vr"] if table.get("variance-reduced") else []
        parts += ["sliced"] if table["kind"] == "denoising" and "projections" in table else []
        parts += ["antithetic"] if table.get("antithetic") else []
        parts += ["control"] if table.get("control-variate") else []
        parts += [self.parameterization] if self.sigma else []
        return "-".join([*parts, self.activation, f"d{self.dim}"])

    @property
    def energy(self):
        """Whether the network's output is a scalar and the score a gradient."""
        return self.kind == "energy-mlp"

    def network(self):
        table = {
            "kind": self.kind,
            "hidden": self.hidden,
            "activation": self.activation,
            "embedding": "none",
            "parameterization": self.parameterization,
        }
        return table if self.sigma_data is None else table | {"sigma-data": self.sigma_data}

    def experiment(self):
        """The case as TOML, every choice written out."""
        objective = self.objective | {"weighting": self.weighting}
        return table_text("network", self.network()) + "\n" + table_text("objective", objective)


def table_text(name, table):
    return f"[{name}]\n" + "".join(f"{key} = {value_text(value)}\n" for key, value in table.items())


def value_text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {value_text(entry)}" for key, entry in value.items()) + " }"
    return repr(value)


def exact():
    return {"kind": "implicit", "trace": "exact"}


def hutchinson(probe, probes):
    return {"kind": "implicit", "trace": "hutchinson", "probe": probe, "probes": probes}


def hutchpp(probe, probes):
    return {"kind": "implicit", "trace": "hutch++", "probe": probe, "probes": probes}


def sliced(probe, projections, reduced=False):
    table = {"kind": "sliced", "variance-reduced": reduced, "projections": projections, "probe": probe}
    return table | {"derivative": "forward"}


def sliced_fd(probe, projections, epsilon, reduced=False):
    return sliced(probe, projections, reduced) | {"derivative": "finite-difference", "epsilon": epsilon}


def denoising(**options):
    return {"kind": "denoising"} | {key.replace("_", "-"): value for key, value in options.items()}


def sliced_denoising(probe, projections, **options):
    return denoising(projections=projections, probe=probe, **options)


def energy(*arguments, **options):
    return Case(*arguments, **options, kind="energy-mlp")


WIDE = (0.05, 5.0)
MILD = (0.2, 5.0)  # where the loss grows like σ⁻², or the terms cancel
HIGH = (0.5, 5.0)  # where it grows like σ⁻⁴, or is not weighted

CASES = [
    # Implicit, exact trace.
    Case(2, 8, [16, 16], "softplus", exact(), gain=3.0),
    Case(16, 6, [32], "tanh", exact()),
    Case(64, 4, [32], "gelu", exact()),
    Case(3, 12, [16, 16], "elu", exact(), "score", WIDE, "sigma2"),
    Case(8, 8, [24, 24, 24], "silu", exact(), "scaled", WIDE, "sigma2"),
    Case(16, 5, [24], "softplus", exact(), "edm", WIDE, "edm", 0.8),
    # Implicit, Hutchinson's trace.
    Case(8, 6, [16, 16], "softplus", hutchinson("rademacher", 4)),
    Case(64, 5, [16, 16], "gelu", hutchinson("rademacher", 1), "scaled", WIDE, "sigma2"),
    Case(2, 10, [16, 16], "tanh", hutchinson("gaussian", 3)),
    Case(16, 6, [32], "silu", hutchinson("gaussian", 2), "noise", WIDE, {"power": 1.0}),
    Case(3, 16, [24, 24, 24], "elu", hutchinson("sphere", 2)),
    Case(16, 4, [16, 16], "softplus", hutchinson("sphere", 3), "denoiser", MILD, "sigma2"),
    # Implicit, Hutch++.
    Case(3, 8, [16, 16], "silu", hutchpp("rademacher", 3)),
    Case(8, 6, [32], "softplus", hutchpp("gaussian", 6)),
    Case(16, 4, [24, 24, 24], "tanh", hutchpp("sphere", 12)),
    Case(2, 8, [16], "elu", hutchpp("gaussian", 3), "edm", WIDE, "edm", 0.5),
    Case(64, 3, [32], "gelu", hutchpp("rademacher", 12), "scaled", WIDE, "sigma2"),
    # Sliced.
    Case(2, 16, [16, 16], "softplus", sliced("rademacher", 1)),
    Case(16, 6, [32], "gelu", sliced("sphere", 4)),
    Case(8, 8, [24, 24, 24], "tanh", sliced("gaussian", 2), "scaled", WIDE, "sigma2"),
    Case(64, 4, [16, 16], "elu", sliced("rademacher", 2), "noise", HIGH, "none"),
    Case(3, 12, [32], "silu", sliced("gaussian", 3), "edm", WIDE, "edm", 1.2),
    # Sliced, variance-reduced.
    Case(8, 8, [16, 16], "softplus", sliced("rademacher", 1, True)),
    Case(64, 3, [32], "tanh", sliced("sphere", 3, True)),
    Case(2, 12, [16, 16], "silu", sliced("gaussian", 2, True), "score", WIDE, {"power": 0.5}, gain=3.0),
    Case(3, 8, [32, 16], "gelu", sliced("rademacher", 2, True), "denoiser", MILD, "sigma2"),
    Case(16, 5, [24, 24, 24], "elu", sliced("gaussian", 4, True), "scaled", WIDE, "sigma2"),
    # Sliced, by finite difference.
    Case(3, 10, [16, 16], "softplus", sliced_fd("rademacher", 2, 0.1), gain=3.0),
    Case(2, 8, [32], "silu", sliced_fd("sphere", 3, 0.2), gain=3.0),
    Case(16, 6, [16, 16], "tanh", sliced_fd("gaussian", 2, 0.15), "scaled", WIDE, "sigma2"),
    Case(8, 6, [24, 24, 24], "gelu", sliced_fd("rademacher", 1, 0.2, True), gain=3.0),
    Case(64, 4, [32], "elu", sliced_fd("sphere", 2, 0.2, True), "noise", WIDE, "sigma2"),
    Case(3, 8, [16, 16], "silu", sliced_fd("gaussian", 4, 0.05, True), "denoiser", HIGH, "sigma2"),
    # Denoising.
    Case(2, 16, [16, 16], "softplus", denoising(), "score", WIDE, "sigma2"),
    Case(3, 12, [32], "gelu", denoising(), "score", HIGH, "none"),
    Case(8, 8, [24, 24, 24], "silu", denoising(), "scaled", WIDE, "sigma2"),
    Case(16, 6, [32], "tanh", denoising(), "scaled", HIGH, "none"),
    Case(16, 8, [16, 16], "tanh", denoising(), "noise", WIDE, "sigma2"),
    Case(8, 6, [32, 16], "elu", denoising(), "noise", WIDE, {"power": 1.0}),
    Case(3, 8, [16, 16], "elu", denoising(), "denoiser", MILD, {"power": 2.5}),
    Case(64, 4, [32], "softplus", denoising(), "denoiser", HIGH, "sigma2"),
    Case(64, 5, [16, 16], "gelu", denoising(), "edm", WIDE, "edm", 0.5),
    Case(2, 12, [24, 24, 24], "silu", denoising(), "edm", WIDE, "edm", 1.5),
    Case(16, 6, [32], "tanh", denoising(), "edm", WIDE, "sigma2", 0.7),
    # Denoising, variance reduction at small σ.
    Case(2, 8, [16, 16], "silu", denoising(antithetic=True), "score", WIDE, "sigma2"),
    Case(16, 6, [32], "gelu", denoising(antithetic=True), "scaled", WIDE, "sigma2"),
    Case(8, 8, [24, 24, 24], "softplus", denoising(antithetic=True), "edm", WIDE, "edm", 0.5),
    Case(3, 12, [16, 16], "softplus", denoising(control_variate=True), "scaled", WIDE, "sigma2"),
    Case(16, 6, [32], "tanh", denoising(control_variate=True), "denoiser", HIGH, "sigma2"),
    Case(8, 8, [16, 16], "silu", denoising(control_variate=True), "edm", WIDE, "edm", 0.9),
    Case(64, 4, [16, 16], "elu", denoising(control_variate=True), "noise", MILD, "none"),
    # Denoising, along projections.
    Case(8, 8, [24, 24], "gelu", sliced_denoising("gaussian", 2), "noise", WIDE, "sigma2"),
    Case(64, 4, [16, 16], "softplus", sliced_denoising("rademacher", 4, antithetic=True), "edm", WIDE, "edm", 0.5),
    # Energies, implicit.
    energy(2, 8, [16, 16], "softplus", exact(), gain=3.0),
    energy(64, 4, [32], "gelu", exact(), gain=3.0),
    energy(16, 6, [32], "tanh", exact(), "scaled", WIDE, "sigma2"),
    energy(8, 6, [24, 24], "silu", exact(), "edm", WIDE, "edm", 0.5, gain=3.0),
    energy(3, 8, [16, 16], "silu", hutchinson("rademacher", 2), "denoiser", MILD, "sigma2"),
    energy(16, 6, [24, 24], "softplus", hutchinson("sphere", 3), gain=3.0),
    energy(8, 6, [32], "tanh", hutchpp("gaussian", 6), "noise", WIDE, {"power": 1.0}),
    energy(64, 3, [32], "silu", hutchpp("rademacher", 12), "scaled", WIDE, "sigma2"),
    # Energies, sliced.
    energy(2, 16, [16, 16], "silu", sliced("rademacher", 1), gain=3.0),
    energy(64, 4, [24, 24], "gelu", sliced("gaussian", 2), "noise", HIGH, "none"),
    energy(3, 12, [32], "softplus", sliced("sphere", 3), "edm", WIDE, "edm", 1.2),
    energy(8, 8, [16, 16], "tanh", sliced("rademacher", 2, True), "score", WIDE, "sigma2", gain=3.0),
    energy(16, 5, [24, 24, 24], "softplus", sliced("gaussian", 4, True), "denoiser", MILD, "sigma2"),
    # Energies, sliced, by finite difference.
    energy(2, 8, [16, 16], "softplus", sliced_fd("rademacher", 2, 0.5), gain=3.0),
    energy(16, 6, [32], "tanh", sliced_fd("sphere", 2, 2.0), gain=3.0),
    energy(3, 8, [32], "silu", sliced_fd("gaussian", 3, 0.5), "scaled", HIGH, "sigma2", gain=3.0),
    energy(8, 6, [24, 24], "gelu", sliced_fd("rademacher", 1, 0.5, True), gain=3.0),
    energy(3, 10, [16, 16], "tanh", sliced_fd("gaussian", 2, 0.5, True), "edm", (0.5, 2.0), "sigma2", 0.8, gain=3.0),
    # Energies, denoising.
    energy(64, 4, [32], "softplus", denoising(), "edm", WIDE, "edm", 0.5),
    energy(3, 12, [16, 16], "gelu", denoising(), "noise", WIDE, "sigma2"),
    energy(8, 8, [24, 24, 24], "tanh", denoising(antithetic=True), "denoiser", MILD, "sigma2"),
    energy(2, 12, [16, 16], "silu", denoising(control_variate=True), "score", WIDE, "sigma2"),
    # Energies, denoising along projections.
    energy(16, 6, [32], "silu", sliced_denoising("rademacher", 2), "edm", WIDE, "edm", 0.7),
    energy(3, 10, [16, 16], "tanh", sliced_denoising("gaussian", 3, antithetic=True), "scaled", WIDE, "sigma2"),
    energy(8, 8, [24, 24], "softplus", sliced_denoising("sphere", 1, control_variate=True), "denoiser", HIGH, "none"),
]
