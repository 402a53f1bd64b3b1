"""The gap report's figures on a data set, without the set's texts.

    python benchmarks/gap_on_set.py tldr --out benchmarks/results/gap-tldr.json --page /tmp/gap-tldr.html

Vectors and scores are kept in `--cache`: a run that was stopped goes on. The page, which shows the worst queries with
their documents, is for the eyes and isn't part of the project.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.evaluation import gap_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", help="a folder of --data")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--bi", default="starter")
    parser.add_argument("--cross", default="starter")
    parser.add_argument("--precision", default="auto", help="of the cross-encoder")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--pool", type=int, default=1000)
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    with (
        BiEncoder.load(options.bi) as student,
        CrossEncoder.load(options.cross, precision=options.precision) as teacher,
    ):
        report = gap_report(
            student,
            teacher,
            options.data / options.set,
            queries=options.queries,
            pool=options.pool,
            cache_dir=options.cache,
        )
        figures = json.loads(report.to_json())
        del figures["worst"], figures["per_query"]  # the set's texts and ids
        precision = teacher.precision
    if options.page is not None:
        report.to_html(options.page)
    print(report.summary())
    write_report({"machine": machine("torch", "onnxruntime"), "precision": precision, "report": figures}, options.out)


if __name__ == "__main__":
    main()
