"""Who may import whom, read from the source: one table, one test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

BASE = {
    "types",
    "errors",
    "arguments",
    "arrays",
    "progress",
    "pool",
    "overlap",
    "lifecycle",
    "lazy",
    "retry",
    "witness",
    "uuids",
    "loopback",
    "whole_file",
}
ENCODING = BASE | {"encoding"}
STORES = BASE | {"stores", "caches"}
SPARSE = ENCODING | {"sparse"}
MODELS = ENCODING | {"late_interaction", "bi_encoder", "cross_encoder"}
RETRIEVER = (
    MODELS
    | STORES
    | SPARSE
    | {
        "ranking",
        "diversity",
        "first_stage",
        "second_stage",
        "fusion",
        "sparse_leg",
        "sparse_sync",
        "indexing",
        "resync",
        "syncing",
        "retriever",
        "remote",
        "checking",
        "adopting",
    }
)
EVALUATION = RETRIEVER | {"evaluation"}
DISTILLATION = EVALUATION | {"distillation"}
BENCHMARKING = RETRIEVER | {"benchmarking"}
READERS = ENCODING | {"readers"}
ADAPTERS = RETRIEVER | READERS
SERVER = RETRIEVER | READERS | {"grounding", "explaining", "server"}
EVERYTHING = BENCHMARKING | DISTILLATION | SERVER | {"cli"}

MAY_IMPORT = {
    "types": {"uuids"},
    "uuids": set(),
    "loopback": set(),
    "whole_file": {"errors"},
    "errors": set(),
    "arguments": BASE,
    "arrays": BASE,
    "progress": set(),
    "lifecycle": set(),
    "lazy": set(),
    "pool": set(),
    "overlap": set(),
    "retry": set(),
    "witness": {"errors", "types"},
    "caches": BASE,
    "encoding": ENCODING,
    "stores": STORES | {"sparse"},
    "sparse": SPARSE,
    "ranking": BASE,
    "bi_encoder": MODELS,
    "cross_encoder": MODELS,
    "late_interaction": MODELS,
    "first_stage": RETRIEVER,
    "fusion": BASE,
    "diversity": BASE | STORES | {"ranking"},
    "sparse_leg": BASE | STORES | SPARSE,
    "sparse_sync": BASE | STORES | SPARSE | {"sparse_leg"},
    "remote": MODELS | {"remote"},
    "second_stage": MODELS | {"ranking", "caches"},
    "indexing": RETRIEVER,
    "resync": BASE | STORES,
    "checking": RETRIEVER,
    "adopting": RETRIEVER,
    "syncing": RETRIEVER,
    "retriever": RETRIEVER,
    "readers": READERS,
    "grounding": MODELS | READERS,
    "explaining": RETRIEVER | {"grounding"},
    "evaluation": EVALUATION,
    "distillation": DISTILLATION,
    "server": SERVER,
    "benchmarking": BENCHMARKING,
    "cli": EVERYTHING,
    "langchain": ADAPTERS | {"langchain"},
}
HEAVY = {
    "torch": {
        "encoding/backends/torch.py",
        "encoding/backends/first_token.py",
        "encoding/backends/torch_heads.py",
        "encoding/backends/torch_loading.py",
        "encoding/backends/decoder.py",
        "encoding/backends/token_vectors.py",
        "encoding/backends/masked_lm.py",
        "encoding/backends/memory.py",
        "encoding/backends/exporting.py",
        "encoding/backends/onnx_export.py",
        "encoding/backends/openvino_export.py",
        "encoding/pooling.py",
        "benchmarking/limit.py",
        "distillation",
    },
    "onnxruntime": {"encoding/backends/onnx.py", "encoding/backends/onnx_export.py"},
    "onnx": {"encoding/backends/onnx_export.py"},
    "openvino": {"encoding/backends/openvino.py"},
    "transformers": {
        "encoding/backends/torch_loading.py",
        "encoding/backends/quantization.py",
        "encoding/tokenizer_files.py",
        "distillation",
    },
    "accelerate": {"distillation"},
    "peft": {"distillation/towers.py"},
    "pyarrow": {"distillation/parquet.py"},
    "datasets": {"distillation/exporting.py"},
    "qdrant_client": {"stores/client.py", "stores/client_classes.py", "stores/connection.py"},
    "qdrant_edge": {"stores/edge.py", "stores/edge_classes.py"},
    "bs4": {"readers/html.py"},
    "pypdf": {"readers/pdf.py"},
    "docx": {"readers/docx.py"},
    "Stemmer": {"sparse/tokenizing.py"},
    "mmh3": {"sparse/tokenizing.py"},
    "ir_measures": {"evaluation"},
    "ir_datasets": {"evaluation/irds.py"},
    "scipy": {"evaluation"},
    "matplotlib": {"evaluation/plots.py"},
    "jinja2": {"evaluation/page.py"},
    "httpx": {"remote/connection.py", "server/answers.py"},
    "starlette": {"server"},
    "uvicorn": {"server/running.py"},
    "mcp": {"server/agents.py"},
    "prometheus_client": {"server/metrics.py"},
    "typer": {"cli"},
    "langchain_core": {"langchain"},
    "haystack": {"haystack_integrations"},
}


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and module of every import that runs; those for the type checker alone don't."""
    found = []
    asleep = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in asleep:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "bicross":
                found += [(node.lineno, f"bicross.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module))
    return found


def offences() -> list[str]:
    wrong = []
    for path in sorted((SOURCE / "bicross").rglob("*.py")):
        inside = path.relative_to(SOURCE / "bicross").as_posix()
        if inside == "__init__.py":
            continue
        layer = inside.split("/")[0].removesuffix(".py")
        if layer not in MAY_IMPORT:
            wrong.append(f"{inside}: {layer!r} has no row in the table of layers")
            continue
        for line, module in imports(ast.parse(path.read_text(encoding="utf-8"))):
            root, *rest = module.split(".")
            if root == "bicross" and rest and rest[0] not in MAY_IMPORT[layer]:
                wrong.append(f"{inside}:{line} imports {module}: {layer} may not")
            homes = HEAVY.get(root)
            if homes and not any(inside == home or inside.startswith(f"{home}/") for home in homes):
                wrong.append(f"{inside}:{line} imports {module}, which belongs in {sorted(homes)}")
    for path in sorted((SOURCE / "haystack_integrations").rglob("*.py")):
        inside = path.relative_to(SOURCE).as_posix()
        for line, module in imports(ast.parse(path.read_text(encoding="utf-8"))):
            root, *rest = module.split(".")
            if root == "bicross" and rest and rest[0] not in ADAPTERS:
                wrong.append(f"{inside}:{line} imports {module}: an adapter may not")
            if root in HEAVY and root != "haystack":
                wrong.append(f"{inside}:{line} imports {module}, which belongs in {sorted(HEAVY[root])}")
    return wrong


def test_nothing_makes_a_package_of_the_namespaces_that_haystack_shares() -> None:
    above = [path for path in (SOURCE / "haystack_integrations").rglob("__init__.py") if path.parent.name != "bicross"]
    assert above == []


def test_every_import_follows_the_table() -> None:
    assert offences() == []


@pytest.mark.parametrize(
    "line", ["from bicross.stores import QdrantStore", "from bicross import stores", "import bicross.cli.index"]
)
def test_the_parser_sees_every_form(line: str) -> None:
    assert [name.split(".")[:2] for _, name in imports(ast.parse(line))] in (
        [["bicross", "stores"]],
        [["bicross", "cli"]],
    )
