"""What clients send, checked by pydantic."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

InputType = Literal["query", "search_query", "document", "search_document", "passage"]
Query = Annotated[str, StringConstraints(min_length=1)]


class Body(BaseModel):
    """Fields that this server doesn't know are left alone, as OpenAI-compatible servers do."""

    model_config = ConfigDict(extra="ignore", strict=True)


class ModelBody(Body):
    """A field that is null is one that isn't there, as at OpenAI: some clients (LiteLLM) send nulls for defaults."""

    @model_validator(mode="before")
    @classmethod
    def _no_nulls(cls, value: object) -> object:
        return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


class EmbeddingsBody(ModelBody):
    """OpenAI's body of ``POST /v1/embeddings``, with the ``input_type`` of Cohere, Voyage and others."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Field(gt=0)] | None = None
    input_type: InputType = "document"

    @field_validator("input", mode="before")
    @classmethod
    def _no_tokens(cls, value: object) -> object:
        first = value[0] if isinstance(value, list) and value else None
        if isinstance(first, int) or (isinstance(first, list) and all(isinstance(item, int) for item in first)):
            raise ValueError(
                "input must be text, got token ids, which are another model's. Switch them off in your client "
                "(LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)"
            )
        return value

    @property
    def texts(self) -> list[str]:
        """The input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class TextDocument(Body):
    """A document as Cohere's first version and Jina have it."""

    text: str


class RerankBody(ModelBody):
    """Cohere's and Jina's body of ``POST /rerank``, with the ``raw_scores`` of text-embeddings-inference."""

    query: Query
    documents: list[str | TextDocument]
    model: str | None = None
    top_n: Annotated[int, Field(gt=0)] | None = None
    return_documents: bool = False
    raw_scores: bool = False

    @property
    def texts(self) -> list[str]:
        """The documents as texts."""
        return [document if isinstance(document, str) else document.text for document in self.documents]
