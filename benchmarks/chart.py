"""``python -m benchmarks.chart``: the ratios of a saved run as bars, one panel per thread count."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"

# Okabe and Ito's colours, told apart by those who see fewer; the order is that of the bars.
COLOURS = {
    "torch": "#D55E00",
    "torch bf16": "#E69F00",
    "torch int8": "#F0E442",
    "onnxruntime": "#009E73",
    "onnxruntime int8": "#7FCEB9",
    "openvino": "#0072B2",
    "openvino bf16": "#56B4E9",
    "openvino f16": "#CC79A7",
    "openvino int8": "#B3B3B3",
    "torch carried": "#7A3300",
    "openvino carried": "#003A5C",
}
OURS = "slidecell"
KINDS = ("score", "carried", "flags")
WIDE = 12.0  # ratios from here on need a logarithmic axis
TEXT, LINES = "#333333", "#d0d0d0"


def median_rate(result: Mapping[str, Any]) -> float:
    """Return the windows per second of a result, median."""
    return float(result["work"] / np.median(result["seconds"]))


def contests(content: Mapping[str, Any], threads: int) -> dict[str, dict[str, Any]]:
    """Return scores and flags by case and contestant; torch's better way stands for both.

    Who gave a wrong answer is left out, but for flags by carried states: nobody checks these.
    """
    found: dict[str, dict[str, Any]] = {}
    for result in content["results"]:
        unchecked = result["contestant"].endswith(" carried")
        if result["kind"] not in KINDS or result["threads"] != threads:
            continue
        if not (result["right"] or unchecked):
            continue
        name = "torch" if result["contestant"] == "torch end to end" else result["contestant"]
        case = found.setdefault(result["case"].removeprefix("score "), {})
        if name not in case or median_rate(result) > median_rate(case[name]):
            case[name] = result
    return found


def ratios(case: Mapping[str, Any], name: str, ours: str) -> tuple[float, float, float]:
    """Return how many times as fast ours is: median of the rounds, lowest and highest."""
    mine, theirs = case[ours], case[name]
    found = np.divide(theirs["seconds"], mine["seconds"]) * mine["work"] / theirs["work"]
    return float(np.median(found)), float(found.min()), float(found.max())


def ours_for(case: Mapping[str, Any], precision: str) -> str:
    """Return our contestant at a precision: with a kernel of its own, or of the one above."""
    own = f"{OURS} {precision}"
    return own if own in case else OURS


def panel(axes: Any, cases: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    """Draw the bars of one number of threads."""
    height = 0.84 / len(names)
    for row, case in enumerate(cases.values()):
        for place, name in enumerate(names):
            if name not in case:
                continue
            ours = ours_for(case, case[name]["precision"])
            middle, lowest, highest = ratios(case, name, ours)
            y = row + (place - (len(names) - 1) / 2) * height
            axes.barh(y, middle, height * 0.9, color=COLOURS[name], zorder=2)
            axes.plot([lowest, highest], [y, y], color=TEXT, linewidth=0.8, zorder=3)
            axes.annotate(
                f"{middle:.1f}",
                (max(middle, highest), y),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=TEXT,
            )
    axes.axvline(1.0, color=TEXT, linewidth=1.2, zorder=4)
    axes.set_yticks(range(len(cases)), list(cases))
    axes.set_ylim(len(cases) - 0.45, -0.55)  # the first case on top
    axes.tick_params(length=0, colors=TEXT, labelsize=9)
    axes.grid(axis="x", color=LINES, linewidth=0.6, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINES)


def draw(content: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a run."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    about = content["conditions"]
    panels = {n: contests(content, n) for n in about["threads"]}
    present = {name for cases in panels.values() for case in cases.values() for name in case}
    names = [name for name in COLOURS if name in present]
    if not names:
        raise ValueError(f"{path.name}: the run has no scores of a peer to draw")
    rows = max(len(cases) for cases in panels.values())
    size = (max(9.0, 1.6 + 4.7 * len(panels)), 1.5 + rows * (0.16 * len(names) + 0.14))
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for place, (axis, (threads, cases)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        panel(axis, cases, names)
        if place:
            axis.yaxis.set_visible(False)
        axis.set_title(
            f"{threads} thread{'s' if threads > 1 else ''}", fontsize=10, color=TEXT, loc="left"
        )
        axis.set_xlabel("slidecell is so many times as fast", fontsize=9, color=TEXT)
    for axis in axes[0]:  # after all bars: the axes share their limits
        axis.margins(x=0.08)
    axes[0][0].autoscale(axis="x")
    longest = max(
        ratios(case, name, ours_for(case, case[name]["precision"]))[2]
        for cases in panels.values()
        for case in cases.values()
        for name in names
        if name in case
    )
    if longest < WIDE:
        axes[0][0].set_xlim(left=0)
    else:
        axes[0][0].set_xscale("log")
        axes[0][0].set_xlim(left=0.5, right=1.5 * longest)
        axes[0][0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    figure.legend(
        handles=[Patch(color=COLOURS[name], label=name) for name in names],
        loc="outside upper center",
        ncols=len(names),
        frameon=False,
        fontsize=9,
    )
    figure.supxlabel(caption(about), fontsize=7.5, color=TEXT)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def caption(about: Mapping[str, Any]) -> str:
    """Return two lines of conditions."""
    versions = ", ".join(
        f"{name} {about[name]}"
        for name in ("slidecell", "torch", "onnxruntime", "openvino")
        if name in about
    )
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['date']}; "
        "each peer at its best setting, lines from the lowest to the highest round;\n"
        "bf16 beside slidecell's precision medium, int8 beside low; peers with carried states are "
        f"not checked. {versions}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a saved run once more."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chart", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS / "scores.json")
    file = parser.parse_args(arguments).file
    draw(json.loads(file.read_text(encoding="utf-8")), file.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
