"""How long a training step takes on this machine: by tokens of a forward pass, attention and precision.

    python benchmarks/training_step.py --out benchmarks/results/

A step of 64 pairs (questions of SQuAD and passages), and one of 64 questions alone, through all-MiniLM-L6-v2 with an
output layer: forward, backward, AdamW. What `TrainingSettings` takes by default is among them. Every way is timed in
turn, round by round; the figure is the median.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import data_folder, machine, write_report

from bicross.distillation.model_folder import load_base
from bicross.distillation.packing import model_inputs, pack
from bicross.distillation.trainer import TrainingSettings
from bicross.encoding.locate import locate
from bicross.evaluation.datasets import load_dataset

TEXTS, MAX_LENGTH, SEED = 64, 160, 20
PASSES = (512, 1024, 2048, 6144)


def step(attention: str, bf16: bool, passes: int, pairs: list[tuple[str, str]]) -> Callable[[], None]:
    """A training step over all pairs."""
    folder = locate("minilm", "bi-encoder").folder
    model, tokenizer = load_base(folder, seed=SEED, dropout=0.0, attention={"attn_implementation": attention})
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_LENGTH)
    chunks, _ = pack(tokenizer, pairs, passes, model_inputs(model))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-5)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = torch.stack([model(**chunk).logits.float().square().sum() for chunk in chunks]).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    data = load_dataset(arguments.data / "squad", "dev").sample(TEXTS, seed=SEED)
    asked = list(data.queries.values())
    answers = [data.documents[next(iter(data.qrels[key]))] for key in data.queries]
    kinds: dict[str, list[tuple[str, str]]] = {
        "pairs": list(zip(asked, answers, strict=True)),
        "queries": [(one, "") for one in asked],
    }
    report: dict[str, Any] = {
        "machine": machine("torch", "transformers"),
        "settings": {"texts": TEXTS, "max_length": MAX_LENGTH, "seed": SEED, "rounds": arguments.rounds},
        "default_pass": TrainingSettings().pass_tokens("cpu"),
        "seconds": {},
    }
    for kind, pairs in kinds.items():
        ways = {
            f"{attention}, {'bfloat16' if bf16 else 'float32'}, {passes} tokens": step(attention, bf16, passes, pairs)
            for attention in ("eager", "sdpa")
            for bf16 in (False, True)
            for passes in PASSES
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(arguments.rounds + 1):
            for name, run in ways.items():
                began = time.perf_counter()
                run()
                if turn:  # the first is to warm up
                    spent[name].append(time.perf_counter() - began)
        report["seconds"][kind] = {name: round(float(np.median(each)), 3) for name, each in spent.items()}
        for name, seconds in report["seconds"][kind].items():
            print(f"{kind}, {name}: {seconds:.2f} s")
    write_report(report, arguments.out)


if __name__ == "__main__":
    main()
