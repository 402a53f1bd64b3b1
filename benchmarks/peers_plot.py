"""Draws `peers.py`'s reports: how many times as fast as each peer, one picture for each instruction set.

    python benchmarks/peers_plot.py    # benchmarks/results/peers-*.json → docs/images/speed-*.svg

A bar is bicross in one precision against one peer at its best batch size; the line is "as fast". Drawn is the first
peer of each work, which is what most programs use; with --all every peer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "bicross"  # the same figures give the same file

from matplotlib import pyplot as plt  # noqa: E402  # after the backend is chosen

HERE = Path(__file__).resolve().parents[1]
COLOURS = {"float32": "#4477aa", "auto": "#228833", "int8": "#ccbb44", "openvino": "#4477aa", "onnx": "#ccbb44"}
"""Of Paul Tol's palette, which colour-blind readers can tell apart."""
TITLES = {
    "bulk": "500 passages encoded",
    "one query": "one query of 14 tokens",
    "concurrent queries": "queries of 64 threads",
    "rerank": "100 pairs scored",
    "text to searchable": "text → searchable",
    "index again, unchanged": "the same passages again",
    "two-stage query": "two-stage query",
    "process start to first hit": "process start → first hit",
}


def bars(work: dict[str, Any], every: bool) -> list[tuple[str, str, float]]:
    """Peer, our precision, and ratio: grouped by peer, in the report's order; of the first peer, or of every one."""
    found = []
    for own, ratios in work["ratio"].items():
        for peer, ratio in ratios.items():
            if not peer.startswith("bicross"):
                found.append((peer, own.removeprefix("bicross "), ratio))
    peers = list(dict.fromkeys(peer for peer, _, _ in found))
    return sorted((bar for bar in found if every or bar[0] == peers[0]), key=lambda bar: peers.index(bar[0]))


def draw(report: dict[str, Any], target: Path, every: bool) -> None:
    works = {name: rows for name, work in report["work"].items() if (rows := bars(work, every))}
    heights = [len(rows) + 1.5 for rows in works.values()]
    figure, axes = plt.subplots(
        len(works), 1, figsize=(8, 0.24 * sum(heights) + 0.8), height_ratios=heights, squeeze=False
    )
    for axis, (name, rows) in zip(axes[:, 0], works.items(), strict=True):
        places = range(len(rows))
        axis.barh(places, [ratio for _, _, ratio in rows], color=[COLOURS.get(own, "#888888") for _, own, _ in rows])
        axis.set_yticks(places, [f"{own} against {peer}" for peer, own, _ in rows], fontsize=7)
        axis.invert_yaxis()
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(TITLES.get(name, name), loc="left", fontsize=9)
        axis.tick_params(axis="x", labelsize=7)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        for place, (_, _, ratio) in enumerate(rows):
            axis.annotate(f"{ratio:.1f} ×", (ratio, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    machine = report["machine"]
    figure.suptitle(
        f"bicross: times as fast as its peers, in one run\n{machine['processor']}, {machine['usable_cores']} cores, "
        f"{', '.join(machine['instruction_sets'])}",
        fontsize=9,
    )
    figure.tight_layout(rect=(0, 0, 1, 0.985))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "benchmarks" / "results")
    parser.add_argument("--out", type=Path, default=HERE / "docs" / "images")
    parser.add_argument("--all", action="store_true", help="every peer")
    options = parser.parse_args()
    reports = sorted(options.results.glob("peers-*.json"))
    if not reports:
        parser.error(f"needs reports of peers.py named peers-*.json, got none in {options.results}")
    for path in reports:
        target = options.out / f"{path.stem.replace('peers', 'speed', 1)}.svg"
        draw(json.loads(path.read_text(encoding="utf-8")), target, options.all)
        print(target)


if __name__ == "__main__":
    main()
