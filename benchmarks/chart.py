"""``python -m benchmarks.chart``: the ratios of a saved run as bars, one panel per thread count."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
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
GAP = 1.0  # between the bars of two cases, in bars
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


def places(panels: Iterable[Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return where the bars of all panels lie, by case and peer: a case takes as much as it has."""
    peers: dict[str, set[str]] = {}
    for cases in panels:
        for case, found in cases.items():
            peers.setdefault(case, set()).update(found)
    lies: dict[str, dict[str, float]] = {}
    at = 0.0
    for case, present in peers.items():
        names = [name for name in COLOURS if name in present]
        lies[case] = {name: at + place for place, name in enumerate(names)}
        at += len(names) + GAP
    return lies


def panel(
    axes: Any,
    cases: Mapping[str, Mapping[str, Any]],
    lies: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw the bars of one number of threads."""
    for name_of_case, case in cases.items():
        for name, y in lies[name_of_case].items():
            if name not in case:
                continue
            ours = ours_for(case, case[name]["precision"])
            middle, lowest, highest = ratios(case, name, ours)
            axes.barh(y, middle, 0.9, color=COLOURS[name], zorder=2)
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
    middles = [fmean(bars.values()) for bars in lies.values()]
    axes.set_yticks(middles, list(lies))
    axes.set_ylim(max(max(bars.values()) for bars in lies.values()) + GAP, -GAP)  # first on top
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
    lies = places(panels.values())
    bars = sum(len(found) + GAP for found in lies.values())
    size = (max(9.0, 1.6 + 4.7 * len(panels)), 1.7 + 0.16 * bars)
    figure, axes = plt.subplots(
        1, len(panels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for place, (axis, (threads, cases)) in enumerate(zip(axes[0], panels.items(), strict=True)):
        panel(axis, cases, lies)
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
        ticks = [one for one in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if one <= 1.5 * longest]
        axes[0][0].set_xticks(ticks, [f"{one:g}" for one in ticks])
        axes[0][0].minorticks_off()
    figure.legend(
        handles=[Patch(color=COLOURS[name], label=name) for name in names],
        loc="outside upper center",
        ncols=min(len(names), 5),
        frameon=False,
        fontsize=9,
    )
    kinds = {one["contestant"] for one in content["results"]}
    medium = "medium" if f"{OURS} medium" in kinds else "medium, which runs float32 here"
    figure.supxlabel(caption(about, medium), fontsize=7.5, color=TEXT)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def caption(about: Mapping[str, Any], medium: str) -> str:
    """Return three lines of conditions."""
    versions = ", ".join(
        f"{name} {about[name]}"
        for name in ("slidecell", "torch", "onnxruntime", "openvino")
        if name in about
    )
    return (
        f"{about['cpu']}, {about['cores']} cores, {about['isa']}, {about['date']}; "
        "each peer at its best setting, lines from the lowest to the highest round;\n"
        f"bf16 beside slidecell's precision {medium}, int8 beside low; peers with carried states "
        f"are not checked.\n{versions}"
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
