"""A source and a collection: what differs is encoded and written, on the dense side and on the sparse one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bicross.first_stage import FirstStage
from bicross.indexing import Incoming, Plan, carry_out, compare, prepare, prepare_added
from bicross.progress import Told
from bicross.resync import digest_of, recall, remember
from bicross.sparse_sync import warn_of_missing
from bicross.types import IndexReport, Passage

_WORTH_A_LOOK = 100
"""A run that encoded one passage in so many has time to see whether all of them are there now."""


class Sync:
    """Brings the collection of a first stage up to date.

    Args:
        stage: Holds the models and the store.
    """

    def __init__(self, stage: FirstStage) -> None:
        self.stage = stage

    def index(
        self,
        passages: Iterable[Passage],
        source: str,
        *,
        delete_missing: bool,
        force: bool,
        recreate: bool,
        reweight: bool,
        show_progress: bool | Told | None,
    ) -> IndexReport:
        """See `TwoStageRetriever.index`; builds no approximate index."""
        unusual = recreate or reweight or force
        digest = None if unusual else digest_of(passages, source, delete_missing=delete_missing)
        if (report := self._as_before(source, digest)) is not None:
            return report
        incoming = prepare(passages, source, delete_missing=delete_missing, force=force, recreate=recreate)
        if recreate:
            self._drop()
        return self._sync(incoming, source, digest, delete_missing, show_progress, reweight)

    def add(self, passages: Sequence[Passage], *, show_progress: bool | None) -> IndexReport:
        """See `TwoStageRetriever.add`."""
        incoming = prepare_added(passages)
        if not incoming.passages:
            return IndexReport()
        self.stage.bind()
        plan = compare(self.stage.store, incoming, None, delete_missing=False)
        report = self._carry_out(incoming, plan, None, show_progress)
        return replace(report, duplicates=incoming.duplicates)

    def _as_before(self, source: str, digest: str | None) -> IndexReport | None:
        """The report of a sync of what was synced last, into a collection that nobody has written to since."""
        if digest is None or not self._dense_alone():
            return None
        self.stage.bind()
        return recall(self.stage.store, source, digest)

    def _dense_alone(self) -> bool:
        """Whether there is a collection, and no sparse vector to look after."""
        header = self.stage.store.header()
        return header is not None and header.sparse is None and self.stage.sparse is None

    def _sync(
        self,
        incoming: Incoming,
        source: str,
        digest: str | None,
        delete_missing: bool,
        show_progress: bool | Told | None,
        reweight: bool,
    ) -> IndexReport:
        """Compare a source with the collection, and do what differs."""
        store = self.stage.store
        if incoming.passages or store.info() is not None:
            self.stage.bind()
        writes = store.writes()
        plan = compare(store, incoming, source, delete_missing=delete_missing)
        report = self._carry_out(incoming, plan, source, show_progress, reweight)
        report = replace(report, skipped=incoming.blank + incoming.unread, duplicates=incoming.duplicates)
        if digest is None or writes is None or not self._dense_alone():
            return report
        if report.encoded >= len(incoming.passages) / _WORTH_A_LOOK:
            writes = store.writes() or 0
            plan = compare(store, incoming, source, delete_missing=delete_missing)
        if plan.is_empty():
            remember(store, source, digest, report, len(incoming.passages), writes)
        return report

    def _carry_out(
        self,
        incoming: Incoming,
        plan: Plan,
        source: str | None,
        show_progress: bool | Told | None,
        reweight: bool = False,
    ) -> IndexReport:
        """Do what differs: on the dense side, and on the sparse one where the first stage has it."""
        store, encoder, sparse = self.stage.store, self.stage.bi_encoder, self.stage.sparse
        if sparse is None:
            report = carry_out(store, encoder, plan, source, show_progress)
            warn_of_missing(store.header(), report.encoded, store.collection)
            return report
        encode = sparse.begin([passage.full_text for passage, _ in incoming.passages.values()], reweight=reweight)
        report = carry_out(store, encoder, plan, source, show_progress, encode)
        changed = source is not None and bool(report.encoded + report.deleted)
        return replace(report, weighted=sparse.finish(changed=changed, show_progress=show_progress))

    def _drop(self) -> None:
        """Remove the collection, once there is a model that can fill it again."""
        self.stage.checked_dimension()
        self.stage.bi_encoder.encode_document("does it work?")
        self.stage.store.drop()
