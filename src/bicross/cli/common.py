"""What several commands share: options, the store behind `--store`, tables."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, Unpack

import typer

from bicross.errors import CollectionNotFoundError, ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bicross.bi_encoder import BiEncoder
    from bicross.remote import RemoteBiEncoder
    from bicross.remote.loading import AnyScorer
    from bicross.retriever import TwoStageRetriever
    from bicross.stores import CollectionInfo, QdrantStore
    from bicross.types import Encoder, Scorer, SparseEncoder

StoreOption = Annotated[str, typer.Option("--store", help="Folder of an embedded store, or URL of a Qdrant server.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PrecisionOption = Annotated[
    str,
    typer.Option("--precision", help="auto (bfloat16 where the hardware is faster in it: the advice), float32, int8."),
]
CrossOption = Annotated[
    str,
    typer.Option("--cross", help="Cross-encoder or late-interaction model: its name, 'starter', 'fast', or 'none'."),
]
QueryPromptOption = Annotated[
    str | None,
    typer.Option("--query-prompt", help="What stands in front of every query. Default: the checkpoint's own."),
]
DocumentPromptOption = Annotated[
    str | None,
    typer.Option("--document-prompt", help="The same for documents: that of the index. Default: the checkpoint's own."),
]
RerankPromptOption = Annotated[
    str | None,
    typer.Option("--rerank-prompt", help="The cross-encoder's instruction for the task. Default: the checkpoint's."),
]
BudgetOption = Annotated[
    float | None, typer.Option("--budget-ms", help="Rerank as deep as this time allows, in milliseconds.")
]
HostOption = Annotated[str, typer.Option(help="Address; another than this machine's own needs $BICROSS_TOKEN.")]
PortOption = Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 for a free one.")]
AllowedHostOption = Annotated[
    list[str] | None,
    typer.Option("--allowed-host", help="A name that clients may reach the server by; may be repeated."),
]
CacheOption = Annotated[str, typer.Option("--cache", help="Folder of vectors and scores that are kept.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps …")]

FirstStageOption = Annotated[
    str, typer.Option("--first-stage", help="dense, bm25 (sparse vectors alone), or hybrid (both, fused).")
]
LanguageOption = Annotated[
    str | None,
    typer.Option(help="BM25's language: de, en, …, auto, none. Default: the collection's own, else en."),
]

SparseOption = Annotated[
    str | None,
    typer.Option("--sparse", help="What makes the query's sparse vector. Default: the collection's own."),
]

DEFAULT_STORE = ".bicross"
DEFAULT_CACHE = ".bicross/cache"
DEFAULT_COLLECTION = "default"


class StoreKeys(TypedDict, total=False):
    """Where another program's collection has what; see `QdrantStore`."""

    text_key: str
    title_key: str
    meta_key: str
    vector_name: str


def open_store(place: str, collection: str, **keys: Unpack[StoreKeys]) -> QdrantStore:
    """The store at a folder or URL; a server's key comes from $QDRANT_API_KEY."""
    from bicross.stores import QdrantStore

    if re.fullmatch(r"[\w.-]+:\d+", place):
        raise ConfigurationError(
            f"--store takes a folder or a URL, got {place!r}. For a server write http://{place}; for a folder of that "
            f"name ./{place}."
        )
    if place.startswith(("http://", "https://")):
        return QdrantStore(url=place, collection=collection, api_key=os.environ.get("QDRANT_API_KEY"), **keys)
    return QdrantStore(path=place, collection=collection, **keys)


def training_device(device: str) -> Literal["auto", "cpu"]:
    """Where `--device` lets training run: on the CPU, or on all CUDA cards that the process sees."""
    return "cpu" if device.partition(":")[0] == "cpu" else "auto"


def check_output(path: Path | None) -> None:
    """Make the folder of a file that is written at the end; before the work, because nothing would be left of it then.

    Raises:
        ConfigurationError: No file can be written there.
    """
    if path is None:
        return
    reason = "it is a folder" if path.is_dir() else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            reason = "its folder can't be written"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise ConfigurationError(f"An output is a file that can be written, got {str(path)!r}: {reason}. Name another.")


def find_collection(source: QdrantStore) -> CollectionInfo:
    """What the store's collection is.

    Raises:
        CollectionNotFoundError: There is none.
    """
    info = source.info()
    if info is None:
        others = ", ".join(repr(other.name) for other in source.collections(lambda *_: None)) or "none"
        raise CollectionNotFoundError(
            f"There is no collection {source.collection!r} in {source.place!r} (there: {others}). Fill it: bicross "
            "index PATH…"
        )
    return info


def console(*, stderr: bool = False) -> Console:
    """Where tables go."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    typer.echo(json.dumps(value, ensure_ascii=False))


class Prompts(TypedDict, total=False):
    """What stands in front of texts; see `BiEncoder.load`."""

    query_prompt: str | None
    document_prompt: str | None


def load_bi_encoder(
    info: CollectionInfo | None, model: str | None, precision: str, device: str, **prompts: Unpack[Prompts]
) -> BiEncoder | RemoteBiEncoder:
    """The bi-encoder that was named, else the one that filled the collection, else the starter.

    Raises:
        ConfigurationError: The collection names a host that nobody here has named.
    """
    from bicross.remote import loading
    from bicross.remote.keys import check_recorded

    options: dict[str, Any] = {"precision": precision, "device": device, **prompts}
    if model is not None or info is None or info.model is None:
        return loading.load_bi_encoder(model or "starter", **options)
    check_recorded(info.model)
    options["revision"] = info.revision
    encoder = loading.load_bi_encoder(info.model, **options)
    if encoder.dimension <= info.dimension:
        return encoder
    with encoder:  # open until the second has its share of the weights; the leading dimensions alone were indexed
        return loading.load_bi_encoder(info.model, **options, truncate_dim=info.dimension)


def load_scorer(name: str, precision: str, device: str, prompt: str | None = None) -> AnyScorer | None:
    """The scorer of a name; None for 'none'.

    Raises:
        ConfigurationError: A prompt for a scorer that has none, or for none at all.
    """
    if name == "none":
        if prompt is not None:
            raise ConfigurationError(f"--rerank-prompt is for a cross-encoder, got {prompt!r:.60} with --cross none.")
        return None
    from bicross.remote import loading

    return loading.load_cross_encoder(name, precision=precision, device=device, prompt=prompt)


def load_sparse_encoder(
    info: CollectionInfo | None, first_stage: str, language: str | None, model: str | None = None
) -> SparseEncoder | None:
    """The sparse encoder that was named, else the one that made the collection's vectors, else BM25; None for dense.

    Raises:
        ConfigurationError: A language or a model without a first stage that asks for it.
    """
    if first_stage == "dense":
        if language or model:
            raise ConfigurationError(
                f"--language and --sparse are for --first-stage bm25 or hybrid; got {language or model!r} with 'dense'."
            )
        return None
    from bicross.sparse import BM25Encoder, SpladeEncoder

    record = info.sparse if info else None
    name = model or ("bm25" if language or record is None else record.name)
    if name == "bm25":
        return BM25Encoder(language or (record and record.language) or "en")
    if language:
        raise ConfigurationError(f"--language is for BM25; got {language!r} with --sparse {name!r}. Leave one out.")
    if name is None:
        raise ConfigurationError(
            "The collection doesn't say which model made its sparse vectors. Name it: --sparse MODEL, or bm25."
        )
    return SpladeEncoder.load(name)


@dataclasses.dataclass(frozen=True)
class Models:
    """What searches a collection."""

    first_stage: str
    bi_encoder: BiEncoder | RemoteBiEncoder
    cross_encoder: AnyScorer | None
    sparse_encoder: SparseEncoder | None

    def over(self, store: QdrantStore) -> TwoStageRetriever:
        """Both stages over the collection that is open in a store."""
        from bicross.retriever import TwoStageRetriever

        return TwoStageRetriever(
            self.bi_encoder,
            store,
            self.cross_encoder,
            first_stage=self.first_stage,
            sparse_encoder=self.sparse_encoder,
        )


def load_models(
    info: CollectionInfo,
    *,
    cross: str,
    first_stage: str,
    language: str | None,
    sparse: str | None,
    precision: str,
    device: str,
    rerank_prompt: str | None = None,
    **prompts: Unpack[Prompts],
) -> Models:
    """The bi-encoder that filled a collection, the cross-encoder that was named, and what makes sparse vectors."""
    return Models(
        first_stage,
        load_bi_encoder(info, None, precision, device, **prompts),
        load_scorer(cross, precision, device, rerank_prompt),
        load_sparse_encoder(info, first_stage, language, sparse),
    )


def warm_up(bi_encoder: Encoder | None, cross_encoder: Scorer | None) -> None:
    """Call models once, before anyone waits: the first call takes much longer than any other."""
    if bi_encoder is not None:
        bi_encoder.encode_query("warm up")
    if cross_encoder is not None:
        cross_encoder.predict([("warm", "up")])


def show_warnings_plainly() -> None:
    """A user of the command line has no use for the source line of a warning, nor for what pypdf says of a file."""
    logging.getLogger("pypdf").addHandler(logging.NullHandler())  # why a file is skipped is said once, with its name

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"Warning: {message}", err=True)

    warnings.showwarning = show
