"""The score of an exported `mlp` by NumPy alone: file, file of points, σ, file for the scores."""

import json
import sys

import numpy as np

path, points, sigma, out = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
data = open(path, "rb").read()
end = 8 + int.from_bytes(data[:8], "little")
header = json.loads(data[8:end])
about = json.loads(header.pop("__metadata__")["stein"])
assert about["network"]["activation"] == "silu" and about["parameterization"] == "scaled", about


def tensor(name):
    start, stop = header[name]["data_offsets"]
    return np.frombuffer(data[end + start : end + stop], "<f4").reshape(header[name]["shape"])


x = np.load(points).astype("f4")
h = np.concatenate([x, np.full((len(x), 1), np.log(np.float32(sigma)))], 1)
last = len(about["network"]["hidden"])
for i in range(last + 1):
    h = h @ tensor(f"layers.{i}.weight").T + tensor(f"layers.{i}.bias")
    if i < last:
        h = h / (1 + np.exp(-h))
np.save(out, (h / np.float32(sigma)).astype("f4"))
