"""A model by its name, wherever it computes: here, or behind an address."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import CrossEncoder
from bicross.encoding.late_checkpoint import is_late
from bicross.encoding.locate import locate
from bicross.errors import ConfigurationError
from bicross.late_interaction import LateInteractionReranker
from bicross.remote.address import is_address

if TYPE_CHECKING:
    from bicross.remote.bi_encoder import RemoteBiEncoder
    from bicross.remote.cross_encoder import RemoteCrossEncoder
    from bicross.remote.keys import Secret

    AnyScorer: TypeAlias = CrossEncoder | LateInteractionReranker | RemoteCrossEncoder

_HERE: dict[str, Any] = {
    "revision": None,
    "token": None,
    "local_files_only": False,
    "cache_dir": None,
    "device": "auto",
    "workers": None,
    "precision": "float32",
    "backend": "auto",
    "truncate_dim": None,
    "query_prompt": None,
    "document_prompt": None,
    "prompt": None,
    "model_options": None,
    "trust_remote_code": False,
}
"""What only a model that is loaded has, and what it means to leave it out."""
_SPELLED = {"truncate_dim": "dimensions", "query_prompt": "query_prompt", "document_prompt": "document_prompt"}
"""How an address says the same."""
_WHERE = ("revision", "token", "local_files_only", "cache_dir")
_NOT_LATE: dict[str, Any] = {"prompt": (None,), "backend": ("auto", "torch"), "workers": (None,)}
"""What a late-interaction model doesn't have, and what it means to leave it out."""


def load_bi_encoder(
    name_or_path: str | os.PathLike[str] = "starter", *, key: Secret | None = None, **options: Any
) -> BiEncoder | RemoteBiEncoder:
    """`BiEncoder.load`, or a `RemoteBiEncoder` where the name is an address.

    Args:
        name_or_path: A folder, a name on the model hub, a starter, or an address: ``https://host/v1#model``.
        key: For an address; None: from the environment.
        **options: As `BiEncoder.load` takes them.

    Raises:
        ConfigurationError: An option that a hosted model doesn't have.
    """
    if not is_address(name_or_path):
        return BiEncoder.load(name_or_path, **options)
    _check_unused(options)
    from bicross.remote.bi_encoder import RemoteBiEncoder

    return RemoteBiEncoder.from_address(str(name_or_path), key=key)


def load_cross_encoder(
    name_or_path: str | os.PathLike[str] = "starter", *, key: Secret | None = None, **options: Any
) -> AnyScorer:
    """What scores pairs: `CrossEncoder.load`, `LateInteractionReranker.load` where the checkpoint is one of its kind,
    or a `RemoteCrossEncoder` where the name is an address.

    Args:
        name_or_path: A folder, a name on the model hub, a starter, or an address: ``https://host/v1#model``.
        key: For an address; None: from the environment.
        **options: As `CrossEncoder.load` takes them. Only that one has an activation.

    Raises:
        ConfigurationError: An option that such a model doesn't have.
    """
    if is_address(name_or_path):
        options.pop("activation", None)  # the endpoint has its own
        _check_unused(options)
        from bicross.remote.cross_encoder import RemoteCrossEncoder

        return RemoteCrossEncoder.from_address(str(name_or_path), key=key)
    found = locate(name_or_path, "cross-encoder", **{name: options[name] for name in _WHERE if name in options})
    if found.revision is not None:
        options |= {"revision": found.revision, "local_files_only": True}  # it was fetched just now
    if not is_late(found.folder):
        return CrossEncoder.load(name_or_path, **options)
    options.pop("activation", None)
    for option, allowed in _NOT_LATE.items():
        if (value := options.get(option, allowed[0])) not in allowed:
            raise ConfigurationError(
                f"A late-interaction model has no {option} but its checkpoint's own, got {option}={value!r} for "
                f"{found.name!r}. Leave it out."
            )
    taken = {name: value for name, value in options.items() if name not in _NOT_LATE}
    return LateInteractionReranker.load(name_or_path, **taken)


def _check_unused(options: dict[str, Any]) -> None:
    for option, value in options.items():
        if option == "token":
            continue  # the model hub's: it never goes to another host
        if option not in _HERE or value != _HERE[option]:
            spelled = _SPELLED.get(option)
            hint = f" Write ?{spelled}=… into its address." if spelled else " Leave it out."
            raise ConfigurationError(
                f"{option} belongs to a model that computes here, got {option}={value!r} for a hosted one.{hint}"
            )
