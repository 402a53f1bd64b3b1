from __future__ import annotations

import numpy as np
import pytest
import torch

from bicross.encoding.backends.torch_loading import on_device


def test_token_ids_go_to_a_card_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def to(tensor: torch.Tensor, device: str, non_blocking: bool = False) -> torch.Tensor:
        asked.append((device, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: asked.append("pinned") or tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    ids = np.array([[3, 4], [5, 0]])
    np.testing.assert_array_equal(on_device(ids, "cuda:1").numpy(), ids)
    assert asked == ["pinned", ("cuda:1", True)]
    on_device(ids, "cpu")
    assert asked[2:] == [("cpu", False)]
