"""A hosted model in one line."""

from __future__ import annotations

import pytest

from bicross import BiEncoder, CrossEncoder, LateInteractionReranker
from bicross.errors import CheckpointError, ConfigurationError
from bicross.remote import Calls, RemoteBiEncoder, RemoteCrossEncoder, load_bi_encoder, load_cross_encoder
from bicross.remote.address import is_address
from bicross.remote.keys import check_recorded
from tiny_families import write_multi_vector, write_pylate, write_stanford


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com/v1#text-embedding-3-small",
        "http://localhost:8000/v1#BAAI/bge-m3",
        "http://[::1]:8000#starter",
        "https://h.example/v1?dimensions=256&query_prompt=query%3A+#m",
        "https://h.example/v1?api=bicross&key_variable=MY_KEY&batch_size=8&timeout=5.0&allow_http=true#m",
        "https://h.example#a%20b%23c",
    ],
)
def test_an_address_leads_to_the_same_model_again(address: str) -> None:
    model = RemoteBiEncoder.from_address(address)
    assert model.name == address
    assert RemoteBiEncoder.from_address(model.name).document_fingerprint == model.document_fingerprint
    assert repr(model) == f"RemoteBiEncoder({address!r})"


def test_options_become_arguments() -> None:
    options = "api=bicross&dimensions=4&query_prompt=q%3A%20&similarity=dot&max_length=99&concurrency=2&retry_seconds=3"
    model = RemoteBiEncoder.from_address(f"http://h.example?{options}#m")
    assert (model.api, model.dimensions, model.prompts["query"]) == ("bicross", 4, "q: ")
    assert (model.similarity_name, model.max_length) == ("dot", 99)
    assert model.calls == Calls(concurrency=2, retry_seconds=3)
    assert RemoteCrossEncoder.from_address("http://h.example?api=tei&raw_scores=true#m").raw_scores


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://h.example/v1", "base#model"),
        ("http://h.example/v1#", "base#model"),
        ("http://u:pw-secret@h.example/v1#m", "no user and no password"),
        ("http://h.example?dimensions=x#m", "dimensions is a int"),
        ("http://h.example?dimensions=0#m", "dimensions"),
        ("http://h.example?color=red#m", "got the option 'color'"),
        ("http://h.example?key=sk-secret#m", "got the option 'key'"),
        ("http://h.example?api=bicross&api=openai#m", "each option once"),
        ("http://h.example?allow_http=maybe#m", "allow_http"),
    ],
)
def test_addresses_that_make_no_sense(address: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        RemoteBiEncoder.from_address(address)
    assert "secret" not in str(caught.value)


def test_names_and_addresses_are_told_apart(bi_folder, cross_folder) -> None:
    assert not any(map(is_address, ("starter", "BAAI/bge-m3", str(bi_folder), bi_folder, None)))
    with load_bi_encoder(bi_folder, device="cpu") as here, load_cross_encoder(cross_folder, device="cpu") as scorer:
        assert isinstance(here, BiEncoder)
        assert isinstance(scorer, CrossEncoder)
    assert isinstance(load_bi_encoder("http://h.example#m", device="auto", token="hub"), RemoteBiEncoder)
    assert isinstance(load_cross_encoder("http://h.example#m", activation="sigmoid"), RemoteCrossEncoder)


def test_a_late_interaction_model_is_told_by_its_files(tmp_path) -> None:
    for write in (write_stanford, write_pylate, write_multi_vector):
        folder = write(tmp_path / write.__name__)
        with load_cross_encoder(folder, device="cpu", activation="sigmoid", backend="auto", prompt=None) as late:
            assert isinstance(late, LateInteractionReranker)
    with pytest.raises(ConfigurationError, match="has no backend but its checkpoint's own, got backend='onnx'"):
        load_cross_encoder(folder, backend="onnx")
    with pytest.raises(ConfigurationError, match="has no prompt but"):
        load_cross_encoder(folder, prompt="find laws")
    (folder / "modules.json").write_text("{")
    with pytest.raises(CheckpointError, match="must be JSON"):
        load_cross_encoder(folder)


@pytest.mark.parametrize(
    "option", [{"device": "cuda"}, {"precision": "int8"}, {"truncate_dim": 3}, {"document_prompt": "d: "}]
)
def test_options_of_a_local_model_are_refused_for_a_hosted_one(option) -> None:
    for load in (load_bi_encoder, load_cross_encoder):
        with pytest.raises(ConfigurationError, match="belongs to a model that computes here"):
            load("http://h.example#m", **option)


@pytest.mark.parametrize(
    "name",
    [
        "starter",
        "sentence-transformers/all-MiniLM-L6-v2",
        "http://localhost:8000/v1#m",
        "http://127.0.0.1:8000/v1#m",
        "http://[::1]:8000/v1#m",
        "https://api.openai.com/v1#text-embedding-3-small",
        "https://embed.example.org/v1?key_variable=MY_KEY#m",
    ],
)
def test_a_collection_may_name_hosts_that_are_known_here(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BICROSS_REMOTE_HOSTS", "other.example.org, embed.example.org")
    check_recorded(name)


@pytest.mark.parametrize(
    "name",
    [
        "https://embed.example.org/v1?key_variable=MY_KEY#m",
        "https://api.openai.com.example.org/v1#m",
        "https://api.openai.com@example.org/v1#m",
        "http://10.0.0.1/v1#m",
        "http://localhost.example.org/v1#m",
    ],
)
def test_a_collection_may_not_name_another_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BICROSS_REMOTE_HOSTS", raising=False)
    with pytest.raises(ConfigurationError, match=r"set BICROSS_REMOTE_HOSTS=\S*(example\.org|10\.0\.0\.1)\.") as caught:
        check_recorded(name)
    assert "MY_KEY" not in str(caught.value)
