"""Hosted models as bi-encoder and cross-encoder, over HTTP. Needs the extra `remote`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.remote.address import Calls
    from bicross.remote.bi_encoder import RemoteBiEncoder
    from bicross.remote.cross_encoder import RemoteCrossEncoder
    from bicross.remote.loading import load_bi_encoder, load_cross_encoder

_HOMES = {
    "Calls": "bicross.remote.address",
    "RemoteBiEncoder": "bicross.remote.bi_encoder",
    "RemoteCrossEncoder": "bicross.remote.cross_encoder",
    "load_bi_encoder": "bicross.remote.loading",
    "load_cross_encoder": "bicross.remote.loading",
}

__all__ = ["Calls", "RemoteBiEncoder", "RemoteCrossEncoder", "load_bi_encoder", "load_cross_encoder"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
