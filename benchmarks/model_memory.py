"""How much memory the weights of each family take, by precision.

    python benchmarks/model_memory.py              # computed from the published sizes; no weights are made
    python benchmarks/model_memory.py --measure    # also filled at true size, where the machine has the room

4-bit counts bitsandbytes' half a byte a weight and one float32 for each block of 64; 8-bit one byte a weight and one
float32 a row. Both leave embeddings, norms and heads in bfloat16. Reading texts takes more, by the tokens of a batch.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
from pathlib import Path

import torch
from torch import nn

QWEN3 = {"vocab_size": 151_936, "head_dim": 128, "num_key_value_heads": 8, "tie_word_embeddings": True}
XLM_R = {"vocab_size": 250_002, "max_position_embeddings": 8_194, "type_vocab_size": 1, "pad_token_id": 1}
SIZES: dict[str, tuple[str, dict[str, object]]] = {
    "all-MiniLM-L6-v2": (
        "BertModel",
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1_536},
    ),
    "gte-modernbert-base": ("ModernBertModel", {}),
    "bge-m3, bge-reranker-v2-m3": (
        "XLMRobertaModel",
        XLM_R | {"hidden_size": 1_024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4_096},
    ),
    "Qwen3-Embedding-0.6B, Qwen3-Reranker-0.6B": (
        "Qwen3Model",
        QWEN3 | {"hidden_size": 1_024, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 3_072},
    ),
    "zerank-1-small": (
        "Qwen3Model",
        QWEN3 | {"hidden_size": 2_048, "num_hidden_layers": 28, "num_attention_heads": 16, "intermediate_size": 6_144},
    ),
    "zembed-1, zerank-1, zerank-2, Qwen3-4B models": (
        "Qwen3Model",
        QWEN3 | {"hidden_size": 2_560, "num_hidden_layers": 36, "num_attention_heads": 32, "intermediate_size": 9_728},
    ),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_BLOCK = 64


def on_paper(name: str) -> nn.Module:
    """A model without memory for its weights."""
    import transformers

    kind, sizes = SIZES[name]
    config = getattr(transformers, kind.removesuffix("Model") + "Config")(**sizes)
    with torch.device("meta"):
        return getattr(transformers, kind)(config)


def computed(model: nn.Module) -> dict[str, float]:
    """**Unit:** bytes, by precision."""
    linear = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    quantised = sum(weight.numel() for weight in linear)
    rows = sum(weight.shape[0] for weight in linear)
    every = sum(weight.numel() for weight in model.parameters())
    rest = 2.0 * (every - quantised)
    return {
        "float32": 4.0 * every,
        "bfloat16": 2.0 * every,
        "8-bit": quantised + 4.0 * rows + rest,
        "4-bit": quantised * (0.5 + 4 / _BLOCK) + rest,
    }


def resident() -> int:
    """**Unit:** bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def available() -> int:
    """**Unit:** bytes that this machine can give."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def measured(task: tuple[str, str]) -> int:
    """What a model of this size adds to a process. **Unit:** bytes."""
    name, precision = task
    model = on_paper(name).to(DTYPES[precision])
    gc.collect()
    before = resident()
    model.to_empty(device="cpu")
    for weight in model.parameters():
        weight.data.fill_(0.01)  # memory is given when it is written
    return resident() - before


def main() -> None:
    """Print a table for `docs/models.md`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="fill weights of the true size")
    measure = parser.parse_args().measure
    print("| model | parameters | float32 | bfloat16 | 8-bit | 4-bit |")
    print("|---|---|---|---|---|---|")
    for name in SIZES:
        model = on_paper(name)
        sizes = computed(model)
        count = sum(weight.numel() for weight in model.parameters())
        cells = {precision: f"{size / 1e9:.2f} GB" for precision, size in sizes.items()}
        for precision in DTYPES if measure else ():
            if available() > 2 * sizes[precision]:
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    cells[precision] += f" ({pool.map(measured, [(name, precision)])[0] / 1e9:.2f} measured)"
        print(f"| {name} | {count / 1e6:,.0f} M | {' | '.join(cells.values())} |")


if __name__ == "__main__":
    main()
