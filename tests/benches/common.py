"""What the peers of the benchmarks have in common: questions and answers, numbers that stein makes too, memory."""

import sys

import numpy as np


def serve(answer):
    """Answers each line of standard input by a line of numbers, separated by tabs; "-" where there are none."""
    for line in sys.stdin:
        numbers = answer(*line.split())
        print(*[repr(float(number)) for number in numbers or []] or ["-"], sep="\t", flush=True)


def peak():
    """MiB that this process held at most so far; None where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None


def memory(run):
    """The most MiB that this process ever held once `run` has run, and before it; nothing where the system does not tell."""
    before = peak()
    run()
    return None if before is None else [peak(), before]


def symmetric(stream, shape, bound):
    """Numbers in [-bound, bound) that stein computes too: the upper 24 bits of splitmix64, from a state for each stream."""
    count = int(np.prod(shape))
    z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    uniform = ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / (1 << 24)
    return ((2 * uniform - 1) * bound).astype(np.float32).reshape(shape)


def layers(widths):
    """Weights and biases of an MLP: the streams are the names' places in the alphabet, where biases come before weights."""
    pairs = []
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        bias, weight = 3 + 2 * layer, 4 + 2 * layer
        pairs.append((symmetric(weight, (outputs, inputs), 2 / inputs**0.5), symmetric(bias, (outputs,), 0.5)))
    return pairs
