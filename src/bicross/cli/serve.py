"""bicross serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bicross.cli.common import (
    AllowedHostOption,
    DeviceOption,
    DocumentPromptOption,
    HostOption,
    PortOption,
    PrecisionOption,
    Prompts,
    QueryPromptOption,
    RerankPromptOption,
    load_bi_encoder,
    load_scorer,
    warm_up,
)
from bicross.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from bicross.server.models import Kind


def serve(
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder behind /v1/embeddings: a model, or 'none'.")] = "starter",
    cross: Annotated[
        str, typer.Option("--cross", help="What scores behind /rerank: a model, 'starter', 'fast', or 'none'.")
    ] = "starter",
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    bi_name: Annotated[
        str | None, typer.Option("--bi-name", help="What clients call the bi-encoder. Default: its own name.")
    ] = None,
    cross_name: Annotated[
        str | None, typer.Option("--cross-name", help="What clients call the cross-encoder. Default: its own name.")
    ] = None,
    allowed_host: AllowedHostOption = None,
    queue: Annotated[int, typer.Option(min=1, help="Requests that may compute or wait; more get 429.")] = 256,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens that a model computes at once. Default: by device.")
    ] = None,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
) -> None:
    """Serve the models over HTTP: OpenAI's /v1/embeddings, Cohere's and Jina's /rerank, /health, /metrics.

    Example: bicross serve --port 8000

    Example: BICROSS_TOKEN=… bicross serve --host 0.0.0.0 --bi BAAI/bge-small-en-v1.5 --cross fast
    """
    try:
        from bicross.server.app import create_app
        from bicross.server.running import check_free
        from bicross.server.running import serve as run
    except ImportError as error:
        raise MissingExtraError('Serving needs starlette, uvicorn and more: pip install "bicross[serve]"') from error
    from bicross.server.settings import Limits, allowed_hosts, read_token

    if bi == "none" and cross == "none":
        raise ConfigurationError("serve needs a model, got --bi none and --cross none.")
    if bi == "none" and (prompt := query_prompt or document_prompt):
        raise ConfigurationError(
            f"--query-prompt and --document-prompt are for a bi-encoder, got {prompt!r:.60} with --bi none."
        )
    token = read_token(host)
    check_free(host, port)
    names: dict[Kind, str | None] = {"embedding": bi_name, "rerank": cross_name}
    prompts: Prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    encoder = None if bi == "none" else load_bi_encoder(None, bi, precision, device, **prompts)
    scorer = load_scorer(cross, precision, device, rerank_prompt)
    warm_up(encoder, scorer)
    app = create_app(
        encoder,
        scorer,
        names={kind: name for kind, name in names.items() if name},
        limits=Limits(queue=queue, batch_tokens=batch_tokens),
        token=token,
        allowed_hosts=allowed_hosts(host, allowed_host),
    )
    run(app, host, port)
