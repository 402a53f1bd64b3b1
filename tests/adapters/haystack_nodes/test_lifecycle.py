from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.core.errors import DeserializationError
from haystack.document_stores.types import FilterPolicy
from haystack.utils import ComponentDevice, Secret

from bicross.encoding.loading import loaded_models
from bicross.errors import ConfigurationError, InputError, InputTypeError, ModelNotFoundError
from haystack_integrations.common.bicross.inputs import chosen
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.preprocessors.bicross import BicrossPassageSplitter
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever, BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

pytestmark = pytest.mark.long

LOADING: dict[str, Any] = {
    "device": ComponentDevice.from_str("cpu"),
    "token": Secret.from_env_var("SOME_TOKEN", strict=False),
    "backend": "torch",
    "precision": "float32",
    "revision": "main",
    "local_files_only": True,
    "trust_remote_code": False,
    "model_options": {"dtype": "float32"},
}
EMBEDDING: dict[str, Any] = LOADING | {
    "model": "m",
    "prefix": "p",
    "suffix": "s",
    "batch_size": 3,
    "progress_bar": False,
    "normalize_embeddings": True,
    "truncate_dim": 8,
}
FILTERS = {"field": "meta.a", "operator": "==", "value": 1}
OPTIONS: dict[type, dict[str, Any]] = {
    BicrossTextEmbedder: EMBEDDING,
    BicrossDocumentEmbedder: EMBEDDING
    | {"meta_fields_to_embed": ["title"], "embedding_separator": " ", "cache_dir": "cache"},
    BicrossPassageSplitter: LOADING | {"model": "m", "limit": 64, "overlap": 0, "language": "de"},
    BicrossRanker: LOADING
    | {
        "model": "m",
        "top_k": 3,
        "prompt": "i",
        "query_prefix": "a",
        "query_suffix": "b",
        "document_prefix": "c",
        "document_suffix": "d",
        "meta_fields_to_embed": ["title"],
        "embedding_separator": " ",
        "scale_score": False,
        "score_threshold": 0.0,
        "budget_ms": 0.0,
        "stage1_weight": 0.0,
        "windows": False,
    },
    BicrossRetriever: LOADING
    | {
        "document_store": BicrossDocumentStore("folder"),
        "model": "m",
        "ranker_model": None,
        "filters": FILTERS,
        "top_k": 3,
        "candidates": 5,
        "first_stage": "hybrid",
        "language": None,
        "sparse_encoder": "s",
        "fusion": "rrf",
        "sparse_weight": 0.0,
        "score_threshold": 0.0,
        "budget_ms": 0.0,
        "stage1_weight": 0.0,
        "windows": True,
        "group_by": "meta.a",
        "group_size": 2,
        "diversity": 0.25,
        "return_embedding": True,
        "filter_policy": FilterPolicy.MERGE,
        "query_prompt": "i",
        "document_prompt": "k",
        "ranker_prompt": "j",
        "truncate_dim": 8,
        "ranker_revision": "r",
    },
    BicrossEmbeddingRetriever: {
        "document_store": BicrossDocumentStore("folder"),
        "filters": FILTERS,
        "top_k": 3,
        "score_threshold": 0.0,
        "group_by": "meta.a",
        "group_size": 2,
        "return_embedding": True,
        "filter_policy": FilterPolicy.MERGE,
    },
    BicrossDocumentStore: {
        "path": None,
        "url": "https://localhost:6333",
        "collection": "docs",
        "similarity": "dot",
        "api_key": Secret.from_env_var("SOME_KEY", strict=False),
        "timeout": 5.0,
        "hnsw_ef": 64,
        "text_key": "text",
        "title_key": "title",
        "meta_key": "meta",
        "vector_name": "dense",
        "sparse_language": "auto",
        "sparse_encoder": None,
    },
}
NODES = [kind for kind in OPTIONS if kind is not BicrossDocumentStore]
HOMES = {
    "haystack_integrations.components.embedders.bicross.text_embedder.BicrossTextEmbedder",
    "haystack_integrations.components.embedders.bicross.document_embedder.BicrossDocumentEmbedder",
    "haystack_integrations.components.preprocessors.bicross.passage_splitter.BicrossPassageSplitter",
    "haystack_integrations.components.rankers.bicross.ranker.BicrossRanker",
    "haystack_integrations.components.retrievers.bicross.retriever.BicrossRetriever",
    "haystack_integrations.components.retrievers.bicross.embedding_retriever.BicrossEmbeddingRetriever",
    "haystack_integrations.document_stores.bicross.document_store.BicrossDocumentStore",
}

Make = Callable[[type], Any]


@pytest.fixture
def make(filled: BicrossDocumentStore, bi_folder: Path, cross_folder: Path) -> Make:
    def built(kind: type) -> Any:
        models = {BicrossRanker: (str(cross_folder),), BicrossEmbeddingRetriever: (filled,)}
        models[BicrossRetriever] = (filled, str(bi_folder), str(cross_folder))
        return kind(*models.get(kind, (str(bi_folder),)))

    return built


def inputs_of(kind: type, bi_folder: Path, documents: list[Document]) -> dict[str, Any]:
    return {
        BicrossTextEmbedder: {"text": "the cat"},
        BicrossDocumentEmbedder: {"documents": documents},
        BicrossPassageSplitter: {"documents": documents},
        BicrossRanker: {"query": "the cat", "documents": documents},
        BicrossRetriever: {"query": "the cat"},
        BicrossEmbeddingRetriever: {"query_embedding": [0.1] * 32},
    }[kind]


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    for result in (left, right):
        result.get("meta", {}).pop("milliseconds", None)
    return alike(left, right)


def alike(left: Any, right: Any) -> bool:
    """Equal, but for the last digits of numbers: which texts share a batch depends on who else asks."""
    if isinstance(left, Document):
        return alike(left.to_dict(flatten=False), right.to_dict(flatten=False))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    return left == pytest.approx(right, abs=1e-5) if isinstance(left, float) else left == right


def test_the_file_names_in_saved_pipelines_are_pinned() -> None:
    assert {f"{kind.__module__}.{kind.__name__}" for kind in OPTIONS} == HOMES


@pytest.mark.parametrize("kind", OPTIONS)
def test_saving_is_symmetric_and_keeps_every_argument_as_given(kind: type) -> None:
    options = OPTIONS[kind]
    assert set(inspect.signature(kind.__init__).parameters) - {"self"} == set(options), "every argument is tested"
    saved = kind(**options).to_dict()
    assert saved["type"] in HOMES
    assert set(saved["init_parameters"]) == set(options)
    again = kind.from_dict(saved)
    assert again.to_dict() == saved
    for name in options.keys() - {"document_store"}:
        assert getattr(again, name) == options[name], name


@pytest.mark.parametrize("kind", [BicrossRetriever, BicrossEmbeddingRetriever])
def test_what_an_earlier_release_saved_still_loads(kind: type) -> None:
    saved = kind(BicrossDocumentStore("folder")).to_dict()
    words = ("first_stage", "language", "sparse_encoder", "fusion", "sparse_weight")
    for name in ("group_by", "group_size", "diversity", *words):
        saved["init_parameters"].pop(name, None)
    for name in ("sparse_language", "sparse_encoder"):
        del saved["init_parameters"]["document_store"]["init_parameters"][name]
    again = kind.from_dict(saved)
    assert (again.group_by, again.group_size, again.document_store.sparse_language) == (None, 1, None)
    assert getattr(again, "first_stage", "dense") == "dense"
    assert (getattr(again, "diversity", 0.0), again.document_store.sparse_encoder) == (0.0, None)


@pytest.mark.parametrize("kind", OPTIONS)
def test_constructors_are_light_and_defaults_are_saved_as_given(kind: type) -> None:
    before = loaded_models()
    stores = {"document_store": BicrossDocumentStore("no-such-folder")}
    node = kind(**{name: stores[name] for name in inspect.signature(kind.__init__).parameters if name in stores})
    saved = node.to_dict()["init_parameters"]
    assert saved.get("device") is None, "a device that nobody chose isn't pinned"
    assert loaded_models() == before
    assert not Path("no-such-folder").exists()


def test_a_secret_is_never_written_as_a_value(bi_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "very-secret")
    node = BicrossTextEmbedder(str(bi_folder), token=Secret.from_env_var("SOME_TOKEN"))
    node.warm_up()
    assert "very-secret" not in str(node.to_dict())
    with pytest.raises(ValueError, match="token"):
        BicrossTextEmbedder(token=Secret.from_token("very-secret")).to_dict()


def test_secrets_are_resolved_when_the_node_warms_up(bi_folder: Path) -> None:
    node = BicrossTextEmbedder(str(bi_folder), token=Secret.from_env_var("NO_SUCH_VARIABLE"))
    with pytest.raises(ValueError, match="NO_SUCH_VARIABLE"):
        node.warm_up()


def test_an_unknown_parameter_is_refused() -> None:
    pipeline = Pipeline()
    pipeline.add_component("embedder", BicrossTextEmbedder())
    text = pipeline.dumps().replace("suffix:", "sufix:")
    with pytest.raises(DeserializationError, match="sufix"):
        Pipeline.loads(text)


@pytest.mark.parametrize("kind", NODES)
def test_run_and_run_async_give_the_same(kind: type, make: Make, bi_folder: Path, documents: list[Document]) -> None:
    node, inputs = make(kind), inputs_of(kind, bi_folder, documents)
    assert inspect.signature(node.run) == inspect.signature(node.run_async)
    expected = node.run(**inputs)

    async def many() -> list[dict[str, Any]]:
        await node.warm_up_async() if hasattr(node, "warm_up_async") else None
        return await asyncio.gather(*(node.run_async(**inputs) for _ in range(16)))

    assert all(same(result, expected) for result in asyncio.run(many()))


@pytest.mark.parametrize("kind", NODES)
def test_warming_and_closing_again_and_again_is_fine(
    kind: type, make: Make, bi_folder: Path, documents: list[Document]
) -> None:
    node, inputs = make(kind), inputs_of(kind, bi_folder, documents)
    node.close()
    first = node.run(**inputs)
    node.warm_up()
    node.warm_up()
    node.close()
    asyncio.run(node.close_async())
    assert same(node.run(**inputs), first)


def test_nodes_that_name_one_model_load_it_once(make: Make, bi_folder: Path, documents: list[Document]) -> None:
    node = make(BicrossTextEmbedder)
    node.warm_up()
    before = loaded_models()
    others = [make(kind) for kind in (BicrossTextEmbedder, BicrossDocumentEmbedder, BicrossPassageSplitter)]
    for other in others:
        other.warm_up()
    assert loaded_models() == before
    ranker = make(BicrossRanker)
    ranker.run("the cat", documents)
    with_ranker = loaded_models()
    both = make(BicrossRetriever)
    both.warm_up()
    ranker.run("the cat", documents, scale_score=False)
    assert loaded_models() == with_ranker
    for other in [*others, ranker, both]:
        other.close()
    assert loaded_models() <= before


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    for node in (BicrossTextEmbedder(str(tmp_path / "none")), BicrossRanker(str(tmp_path / "none"))):
        with pytest.raises(ModelNotFoundError, match="none"):
            node.warm_up()


def test_devices_are_checked(bi_folder: Path) -> None:
    assert BicrossTextEmbedder(str(bi_folder), device=ComponentDevice.from_str("cpu")).run("cat")["embedding"]
    with pytest.raises(ConfigurationError, match="ComponentDevice"):
        BicrossTextEmbedder(str(bi_folder), device="cpu").warm_up()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, 0.0, False, ""])
def test_a_false_value_is_a_value(value: object) -> None:
    assert chosen(value, "otherwise") is value
    assert chosen(None, "otherwise") == "otherwise"


def test_the_splitter_cuts_what_the_model_does_not_read(bi_folder: Path) -> None:
    text = "the cat sleeps on the red stone. " * 40
    documents = [Document(id="short", content="the dog"), Document(id="long", content=text, meta={"a": 1})]
    before = [document.to_dict() for document in documents]
    pieces = BicrossPassageSplitter(str(bi_folder)).run(documents)["documents"]
    assert pieces[0] is documents[0]
    assert [piece.id for piece in pieces[1:3]] == ["long", "long#1"]
    for piece in pieces[1:]:
        assert piece.meta["a"] == 1
        assert piece.meta["source_id"] == "long"
        assert piece.content == text[piece.meta["split_idx_start"] : piece.meta["split_idx_end"]]
    assert BicrossDocumentEmbedder(str(bi_folder)).run(pieces)["meta"]["truncated"] == 0
    assert [document.to_dict() for document in documents] == before
    assert len(BicrossPassageSplitter(str(bi_folder), limit=16, overlap=0).run(documents)["documents"]) > len(pieces)
    with pytest.raises(InputError, match=r"documents\[0\] .* has none"):
        BicrossPassageSplitter(str(bi_folder)).run([Document(id="none")])
    with pytest.raises(InputTypeError, match="list of Documents"):
        BicrossPassageSplitter(str(bi_folder)).run("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("leaf", sorted({home.rsplit(".", 2)[0] for home in HOMES}))
def test_without_haystack_the_remedy_is_one_line(leaf: str) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'haystack':\n"
        "            raise ModuleNotFoundError(name, name='haystack')\n"
        f"sys.meta_path.insert(0, Absent)\nimport {leaf}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("bicross.errors.MissingExtraError:")
    assert last.endswith('Run: pip install "bicross[haystack]"')


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_nodes_are_components() -> None:
    assert all(f"{kind.__module__}.{kind.__name__}" in component.registry for kind in NODES)


def test_folders_may_be_paths(bi_folder: Path, tmp_path: Path) -> None:
    node = BicrossDocumentEmbedder(bi_folder, cache_dir=tmp_path / "cache")
    assert node.run([Document(content="the cat")])["meta"]["encoded"] == 1
    saved = node.to_dict()["init_parameters"]
    assert (saved["model"], saved["cache_dir"]) == (str(bi_folder), str(tmp_path / "cache"))
    assert BicrossRetriever(BicrossDocumentStore(), bi_folder, bi_folder).to_dict()["init_parameters"][
        "ranker_model"
    ] == str(bi_folder)
