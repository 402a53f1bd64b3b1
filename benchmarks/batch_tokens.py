"""How large a batch should be: passages encoded in batches of 512 to 8,192 tokens, by every backend.

    python benchmarks/batch_tokens.py --out benchmarks/results/
    taskset -c 0 python benchmarks/batch_tokens.py --passages 75 --out one-core.json

Large batches leave the cache; small ones spend their time between the operators. Backends and sizes take turns within
every round; figures are medians. The passages are a data set's (`squad`).
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from common import data_folder, machine, write_report
from index_and_search import read_corpus

from bicross import BiEncoder
from bicross.benchmarking.interleaving import interleave
from bicross.benchmarking.kinds import installed_kinds

SIZES = (512, 1_024, 2_048, 4_096, 8_192)


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder() / "squad")
    parser.add_argument("--passages", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = [passage.full_text for passage in read_corpus(options.data)][: options.passages]
    with ExitStack() as closing:
        work = {}
        for backend, precision in installed_kinds():
            encoder = closing.enter_context(
                BiEncoder.load("minilm", backend=backend, precision=precision, device="cpu")
            )
            encode = partial(encoder.encode_document, texts, show_progress=False, return_truncation=True)
            work |= {(f"{backend} {precision}", size): partial(encode, batch_tokens=size) for size in SIZES}
        found = interleave({f"{kind}, {size}": call for (kind, size), call in work.items()}, options.rounds)
    spent = {kind: {size: found[f"{kind}, {size}"].wall() for size in SIZES} for kind, _ in work}
    report = {
        "machine": machine(),
        "passages": len(texts),
        "rounds": options.rounds,
        "passages_a_second": {
            kind: {size: round(len(texts) / seconds, 1) for size, seconds in each.items()}
            for kind, each in spent.items()
        },
    }
    write_report(report, options.out)
    for kind, each in report["passages_a_second"].items():
        print(kind, each)


if __name__ == "__main__":
    main()
