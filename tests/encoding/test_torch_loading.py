from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bicross.encoding import hardware
from bicross.encoding.backends import torch_loading
from bicross.encoding.backends.memory import free_tokens
from bicross.encoding.backends.torch_loading import fetched, on_device


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


def test_results_on_their_way_from_a_card_are_waited_for_when_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Stream:
        def record_event(self) -> Stream:
            asked.append("recorded")
            return self

        def synchronize(self) -> None:
            asked.append("waited")

    def to(tensor: torch.Tensor, device: str, non_blocking: bool = False) -> torch.Tensor:
        asked.append((device, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    result = fetched(torch.ones(2, 3))
    assert asked == [("cpu", True), "recorded"]
    out = np.zeros((4, 3), np.float32)
    out[[3, 1]] = result
    assert asked[2:] == ["waited"]
    assert out.tolist() == [[0] * 3, [1] * 3, [0] * 3, [1] * 3]
    assert np.concatenate([np.asarray(result), np.asarray(result, np.float64)]).shape == (4, 3)


@pytest.mark.parametrize(("before", "cores", "variable", "after"), [(8, 2, None, 2), (8, 2, "8", 8), (2, 4, None, 2)])
def test_torch_keeps_within_a_container_s_quota(
    monkeypatch: pytest.MonkeyPatch, before: int, cores: int, variable: str | None, after: int
) -> None:
    threads = [before]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(hardware, "quota", lambda: cores)
    torch_loading._keep_within_quota()
    assert threads[-1] == after


def test_a_card_that_emulates_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert torch_loading.pick_precision("auto", "cuda") == "float32"


def test_a_cpu_s_results_are_there() -> None:
    assert isinstance(fetched(torch.ones(2, dtype=torch.bfloat16)), np.ndarray)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    memory = {"free": 10 << 20, "reserved": 4 << 20, "allocated": 3 << 20}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (memory["free"], 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: memory["reserved"])
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: memory["allocated"])
    return memory


class Config(SimpleNamespace):
    """What transformers' configurations share."""

    def get_text_config(self) -> SimpleNamespace:
        return getattr(self, "text_config", self)


BERT = Config(hidden_size=32, intermediate_size=64, num_attention_heads=4, _attn_implementation="sdpa")


def test_half_of_a_card_s_free_memory_holds_a_batch(card: dict[str, int]) -> None:
    values = 8 * 32 + 3 * 64 + 128
    assert free_tokens(BERT, 128, "float32", "cuda:0") == (11 << 20) // 2 // (4 * values)
    assert free_tokens(BERT, 128, "bfloat16", "cuda") == (11 << 20) // 2 // (2 * values)
    eager = Config(**vars(BERT) | {"_attn_implementation": "eager"})
    assert free_tokens(eager, 128, "float32", "cuda:0") == (11 << 20) // 2 // (4 * (values + 7 * 128))
    card["free"] = card["reserved"] = card["allocated"] = 0
    assert free_tokens(BERT, 128, "float32", "cuda:0") == 1


def test_an_allocator_without_a_count_and_a_model_without_an_inner_width(
    card: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncounted(device: str) -> int:
        raise RuntimeError("does not support getDeviceStats")

    monkeypatch.setattr(torch.cuda, "memory_reserved", uncounted)
    plain = Config(hidden_size=32)
    assert free_tokens(plain, 0, "float16", "cuda:0") == (10 << 20) // 2 // (2 * (8 * 32 + 3 * 128))


def test_elsewhere_and_for_tables_memory_is_no_limit(card: dict[str, int]) -> None:
    assert free_tokens(BERT, 128, "float32", "cpu") == free_tokens(None, 1, "float32", "cuda:0") == sys.maxsize


def test_a_width_is_sought_where_the_text_s_configuration_is(card: dict[str, int]) -> None:
    nested = Config(text_config=BERT, _attn_implementation="sdpa")
    assert free_tokens(nested, 128, "float32", "cuda:0") == free_tokens(BERT, 128, "float32", "cuda:0")
    assert free_tokens(Config(_attn_implementation="eager"), 128, "float32", "cuda:0") == sys.maxsize
