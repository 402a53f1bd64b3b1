"""Milliseconds of `import bicross`, beside an empty interpreter and beside sentence-transformers.

python benchmarks/import_time.py --out benchmarks/results/import_time.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import machine, write_report

ROUNDS = 9
CODE = {"nothing": "pass", "bicross": "import bicross", "sentence_transformers": "import sentence_transformers"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(ROUNDS):
        for name, code in CODE.items():
            if name == "sentence_transformers" and len(seconds[name]) >= 3:
                continue
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            seconds[name].append(time.perf_counter() - started)
    empty = statistics.median(seconds["nothing"])
    medians = {name: round((statistics.median(times) - empty) * 1e3, 1) for name, times in seconds.items()}
    report = {"machine": machine("sentence-transformers"), "milliseconds_above_an_empty_interpreter": medians}
    print(json.dumps(report))
    write_report(report, arguments.out)


if __name__ == "__main__":
    main()
