"""Score in C++ with the library that `pip install slidecell` has brought along."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

import slidecell as sc

PROGRAM = r"""
#include <cstdio>
#include <vector>

#include <slidecell/slidecell.hpp>

int main(int argc, char** argv) {
  const auto model = slidecell::SequenceModel::load(argv[1]);
  std::vector<float> row(static_cast<std::size_t>(model.input_size()));
  slidecell::Stream stream(model, 1);
  while (std::fread(row.data(), sizeof(float), row.size(), stdin) == row.size()) {
    float score = 0.0f;
    if (stream.push(0, row.data(), score) != slidecell::Status::ok) return 1;
    std::printf("%.9g\n", score);
  }
  return argc == 2 ? 0 : 1;
}
"""

PROJECT = """
cmake_minimum_required(VERSION 3.20)
project(scorer LANGUAGES CXX)
find_package(slidecell CONFIG REQUIRED)
add_executable(scorer scorer.cpp)
target_link_libraries(scorer PRIVATE slidecell::slidecell)
"""


def weights() -> dict[str, np.ndarray]:
    """Return those of an LSTM with 8 units on 2 features; yours come from training."""
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (32, 2), "weight_hh": (32, 8), "bias_ih": (32,), "bias_hh": (32,)}
    found = {f"lstm.{name}_l0": rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    return found | {"head.weight": rng.normal(0, 0.3, (2, 8)), "head.bias": np.zeros(2)}


def main() -> None:
    """Save a model, build a program of a few lines, and compare its scores with Python's."""
    model = sc.SequenceModel.from_state_dict(weights(), window=12, horizon=1)
    rows = np.random.default_rng(1).random((200, 2), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.save(folder / "model.safetensors")
        (folder / "scorer.cpp").write_text(PROGRAM)
        (folder / "CMakeLists.txt").write_text(PROJECT)
        build = folder / "build"
        prefix = f"-DCMAKE_PREFIX_PATH={sc.get_cmake_dir()}"
        for command in (
            ["cmake", "-S", folder, "-B", build, prefix, "-DCMAKE_BUILD_TYPE=Release"],
            ["cmake", "--build", build],
        ):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        program = [build / "scorer", folder / "model.safetensors"]
        out = subprocess.run(program, input=rows.tobytes(), capture_output=True, check=True).stdout
    theirs = np.array(out.split(), np.float32)
    same = np.array_equal(theirs, model.score(rows, kernel="fma"), equal_nan=True)
    print(f"{np.isfinite(theirs).sum()} scores from C++, the same as Python's: {same}")


if __name__ == "__main__":
    main()
