"""Adopting a collection that somebody else filled: is it this model that did? Only its own vectors can tell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bicross.bi_encoder import BiEncoder
from bicross.checking import LEAST_COSINE, Sample, take_sample
from bicross.encoding.prompts import role_prompt
from bicross.errors import BicrossWarning, CollectionNotFoundError, FingerprintMismatchError, StoreError
from bicross.stores import CollectionInfo, Store
from bicross.stores.paths import spelled
from bicross.stores.peers import PeerLayout
from bicross.types import Encoder, Floats, Passage

_TRIED = 4
"""Passages that a guess must get right before it is tried on the whole sample."""
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """An adopted collection.

    Attributes:
        collection: Its name.
        layout: Whose layout it keeps.
        model: Name or folder of the model recorded.
        fingerprint: Its document fingerprint.
        sampled: Passages that were encoded again; 0 where the model had been recorded before.
        worst_cosine: Least cosine between a stored vector and a new one; None without a sample.
    """

    collection: str
    layout: str
    model: str | None
    fingerprint: str
    sampled: int
    worst_cosine: float | None

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.worst_cosine is None:
            return f"{self.collection}: recorded before as filled by {self.model}; nothing was compared."
        return (
            f"{self.collection}: adopted as filled by {self.model}; {self.sampled} vectors compared, worst cosine "
            f"{self.worst_cosine:.5f}; {self.layout} layout."
        )


class Guess(NamedTuple):
    """How the vectors may have been made instead, in words, and what makes this package do the same."""

    words: str
    remedy: str
    texts: Sequence[str]
    prompt: str | None


def adopt(store: Store, bi_encoder: Encoder) -> AdoptReport:
    """Record which model filled a collection, without encoding it again: only a sample of 32 texts is.

    From then on the collection can be written; its layout stays.

    Args:
        store: Holds the collection.
        bi_encoder: The model that is supposed to have filled it.

    Raises:
        CollectionNotFoundError: There is no collection.
        FingerprintMismatchError: It is another model, or it read other texts: the message holds the cosine measured.
        DimensionMismatchError: The model's vectors have another length.
        StoreError: There is no vector to compare, the collection compares vectors by another distance, or its layout
            isn't understood.
    """
    info = store.info()
    if info is None:
        raise CollectionNotFoundError(f"{store.place} has no collection {store.collection!r}. Name one that it has.")
    name, revision = getattr(bi_encoder, "name", None), getattr(bi_encoder, "revision", None)
    fingerprint = bi_encoder.document_fingerprint
    store.bind(dimension=info.dimension, model=name, distance=getattr(bi_encoder, "similarity_name", "cosine"))
    sampled, worst = 0, None
    if info.fingerprint is None:
        sample, cosines = _compare(store, bi_encoder)
        if not sample.passages:
            raise StoreError(
                f"A model is recognised by the vectors that it made; collection {info.name!r} holds none with a text "
                f"among its {info.count} points. Index it with bicross instead."
            )
        sampled, worst = len(cosines), float(cosines.min())
        if worst < LEAST_COSINE:
            raise FingerprintMismatchError(_refusal(info, bi_encoder, cosines, _guess(store, bi_encoder, sample)))
    store.claim(fingerprint=fingerprint, model=name, revision=revision)
    return AdoptReport(info.name, info.layout, name, fingerprint, sampled, worst)


def verify_unrecorded(store: Store, bi_encoder: Encoder) -> None:
    """Check, before searching a collection that doesn't say which model filled it, that it may have been this one.

    Warns in any case, because a sample isn't the whole.

    Raises:
        FingerprintMismatchError: It was another one; the message holds the cosine measured.
        DimensionMismatchError: The model's vectors have another length.
    """
    info = store.info()
    if info is None:
        return
    sample, cosines = _compare(store, bi_encoder)
    said = f"Collection {info.name!r} doesn't say which model filled it"
    adopt_it = "Adopt it: bicross info --adopt, or bicross.adopting.adopt(store, bi_encoder)."
    if not sample.passages:
        message = f"{said}: results are right only if it was this one. Index it with bicross to be sure."
    elif cosines.min() >= LEAST_COSINE:
        agrees = f"{len(cosines)} of its vectors agree with this one's (worst cosine {cosines.min():.5f})"
        message = f"{said}; {agrees}.{' Until it is adopted it is read-only.' if info.read_only else ''} {adopt_it}"
    else:
        guess = _guess(store, bi_encoder, sample)
        if guess is None:
            raise FingerprintMismatchError(_refusal(info, bi_encoder, cosines, None))
        message = f"{said}; {len(cosines)} of its vectors agree with this one's {guess.words}. {guess.remedy}"
    warnings.warn(message, BicrossWarning, stacklevel=5)


def _compare(store: Store, bi_encoder: Encoder) -> tuple[Sample, Floats]:
    sample = take_sample(store)
    cosines = sample.cosines(bi_encoder, [passage.full_text for passage in sample.passages])
    return sample, cosines


def _refusal(info: CollectionInfo, bi_encoder: Encoder, cosines: Floats, guess: Guess | None) -> str:
    unlike = int((cosines < LEAST_COSINE).sum())
    name = getattr(bi_encoder, "name", None)
    measured = (
        f"In collection {info.name!r}, {unlike} of {len(cosines)} sampled vectors differ from what "
        f"{repr(name) if name else 'this encoder'} makes of the stored texts: worst cosine {cosines.min():.4f}, mean "
        f"{cosines.mean():.4f}; at least {LEAST_COSINE} is needed."
    )
    if guess is None:
        return f"{measured} Name the model that filled it, or index the texts into another collection."
    return f"{measured} They agree with its vectors {guess.words}. {guess.remedy}"


def _guess(store: Store, bi_encoder: Encoder, sample: Sample) -> Guess | None:
    """How else this very model may have made the vectors; None where no guess fits."""
    head = sample.head(_TRIED)
    for guess in _guesses(store, bi_encoder, sample.passages):
        few = head.cosines(bi_encoder, guess.texts[:_TRIED], guess.prompt)
        if few.min() >= LEAST_COSINE and sample.cosines(bi_encoder, guess.texts, guess.prompt).min() >= LEAST_COSINE:
            return guess
    return None


def _guesses(store: Store, bi_encoder: Encoder, passages: Sequence[Passage]) -> Iterator[Guess]:
    prompts: list[str | None] = [None]
    if isinstance(bi_encoder, BiEncoder):
        own = role_prompt(bi_encoder.prompts, "document")
        prompts += [prompt for prompt in dict.fromkeys(["", *bi_encoder.prompts.values()]) if prompt != own]
    for words, remedy, texts in _readings(store, passages):
        for prompt in prompts:
            if prompt is None:
                if words:
                    yield Guess(words, remedy, texts, None)
                continue
            how = f"made with the prompt {prompt!r}" if prompt else "made without its prompt for documents"
            change = (
                f'To go on like that, copy the model\'s folder and set "document": {prompt!r} among the prompts of its '
                "config_sentence_transformers.json, and use the copy."
            )
            yield Guess(f"{how} {words}".rstrip(), f"{change} {remedy}".rstrip(), texts, prompt)


def _readings(store: Store, passages: Sequence[Passage]) -> Iterator[tuple[str, str, list[str]]]:
    """What may have been read of each passage: in words, what makes this package read it, the texts."""
    yield "", "", [passage.full_text for passage in passages]
    layout = store.layout()
    if any(passage.title for passage in passages):
        yield "of the texts without titles", "Open it without title_key.", [passage.text for passage in passages]
    elif isinstance(layout, PeerLayout):
        fields = dict.fromkeys(name for passage in passages for name in passage.meta)
        strings = [name for name in fields if any(isinstance(passage.meta.get(name), str) for passage in passages)]
        for name in strings[:_FIELDS]:
            titles = [passage.meta.get(name) for passage in passages]
            texts = [
                f"{title} {item.text}" if title else item.text for title, item in zip(titles, passages, strict=True)
            ]
            where = spelled((*layout.meta, name))
            yield f"of the texts behind their {name!r}", f"Open it with title_key={where!r}.", texts
    if any("\n" in passage.full_text for passage in passages):
        flat = [passage.full_text.replace("\n", " ") for passage in passages]
        yield "of the texts without line breaks", "Index the texts into another collection.", flat
