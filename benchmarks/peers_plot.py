"""Draws `peers.py`'s reports: how many times as fast as every peer, one picture for each instruction set.

    python benchmarks/peers_plot.py    # benchmarks/results/peers-*.json → docs/images/speed-*.svg

A row is a work in one precision of bicross, a mark the ratio to a peer at its best batch size; left of the line the
peer is faster. bicross in int8 is beside peers in int8, in any other precision beside the others. Where "auto" is
float32, it is left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "bicross"  # the same figures give the same file
mpl.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot as plt  # noqa: E402  # after the backend is chosen

HERE = Path(__file__).resolve().parents[1]
MARKS = {
    "st torch": ("o", "#4477aa", "sentence-transformers, torch"),
    "st onnx": ("^", "#66ccee", "sentence-transformers, onnx"),
    "st onnx O3": ("v", "#66ccee", "sentence-transformers, onnx O3"),
    "st onnx int8": ("D", "#ccbb44", "sentence-transformers, onnx int8"),
    "st openvino": ("s", "#228833", "sentence-transformers, openvino"),
    "st openvino bfloat16": ("s", "#bbbbbb", "sentence-transformers, openvino bfloat16"),
    "fastembed": ("P", "#ee6677", "fastembed"),
    "flashrank": ("X", "#aa3377", "FlashRank, int8"),
    "fastembed + flashrank": ("*", "#aa3377", "fastembed and FlashRank (int8)"),
    "haystack": ("p", "#000000", "Haystack"),
    "langchain": ("h", "#999999", "LangChain"),
}
"""Mark, colour (of Paul Tol's palette, which colour-blind readers can tell apart) and name of each peer."""
INT8 = {"st onnx int8", "flashrank"}
TITLES = {
    "bulk": "passages encoded",
    "one query": "one query encoded",
    "concurrent queries": "queries of 64 threads",
    "rerank": "100 pairs scored",
    "text to searchable": "text → searchable",
    "index again, unchanged": "the same passages again",
    "two-stage query": "two-stage query",
    "process start to first hit": "process start → first hit",
}
TICKS = (0.5, 0.7, 1, 1.5, 2, 3, 5, 10)


def rows(report: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """A title and the ratio to each peer of the same kind of precision, of every work and precision."""
    found = []
    half = "bfloat16" in report["computed_by"].get("bicross auto", "")
    for name, work in report["work"].items():
        for own, ratios in work["ratio"].items():
            precision = own.removeprefix("bicross ")
            if precision != "auto" or half:
                quantised = precision == "int8"
                peers = {peer: ratio for peer, ratio in ratios.items() if peer in MARKS and (peer in INT8) == quantised}
                found.append((f"{TITLES.get(name, name)}, {precision}", peers))
    return found


def draw(report: dict[str, Any], target: Path) -> None:
    machine = next(iter(report["runs"].values()))["machine"]
    drawn = rows(report)
    figure, axis = plt.subplots(figsize=(8, 0.34 * len(drawn) + 2.1))
    for peer, (mark, colour, label) in MARKS.items():
        places = [(ratios[peer], place) for place, (_, ratios) in enumerate(drawn) if peer in ratios]
        if places:
            axis.scatter(*zip(*places, strict=True), marker=mark, color=colour, label=label, s=45, alpha=0.85, zorder=3)
    axis.axvline(1, color="black", linewidth=1)
    axis.set_xscale("log")
    axis.set_xticks(TICKS, [f"{tick:g} ×" for tick in TICKS])
    axis.minorticks_off()
    axis.set_yticks(range(len(drawn)), [title for title, _ in drawn])
    axis.invert_yaxis()
    axis.grid(color="#dddddd", zorder=0)
    axis.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    where = f"{machine['processor']}, {machine['usable_cores']} cores, {report['instruction_class']}"
    axis.set_title(f"bicross: times as fast as its peers. {where}", fontsize=9, loc="left")
    figure.legend(loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 1.1 / figure.get_figheight(), 1, 1))
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "benchmarks" / "results")
    parser.add_argument("--out", type=Path, default=HERE / "docs" / "images")
    options = parser.parse_args()
    reports = sorted(options.results.glob("peers-*.json"))
    if not reports:
        parser.error(f"needs reports of peers.py named peers-*.json, got none in {options.results}")
    for path in reports:
        target = options.out / f"{path.stem.replace('peers', 'speed', 1)}.svg"
        draw(json.loads(path.read_text(encoding="utf-8")), target)
        print(target)


if __name__ == "__main__":
    main()
