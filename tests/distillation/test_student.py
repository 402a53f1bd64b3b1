"""Students on tiny random models: each learns an order that is known."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub.repocard import metadata_load
from qdrant_client import QdrantClient
from safetensors.torch import load_file
from transformers import TrainingArguments

from bicross import IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.bi_encoder import BiEncoder
from bicross.caches import VectorCache
from bicross.distillation.fitting import TrainingSettings, training_arguments
from bicross.distillation.held_out_lists import split_lists
from bicross.distillation.list_batches import Lists, Row, by_topic, texts_alone
from bicross.distillation.list_student import ListStudent, _Lists
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.model_folder import load_base
from bicross.distillation.student import train_bi_encoder
from bicross.distillation.student_settings import StudentSettings
from bicross.distillation.towers import build_towers
from bicross.errors import ConfigurationError, DimensionMismatchError, InputError, TrainingError
from bicross.types import Floats
from tiny_models import WORDS, write_bi_encoder

pytestmark = pytest.mark.long

THINGS, COLOURS = WORDS[11:19], WORDS[19:25]
TRAINING = TrainingSettings(
    batch_size=8, learning_rate=5e-3, max_length=32, save_steps=2, bf16=False, show_progress=False
)
STATIC = replace(TRAINING, learning_rate=3e-2)
SETTINGS = StudentSettings(held_out=10, epochs=3, candidates=None, training=TRAINING, half=False)
QUERY = replace(SETTINGS, towers="query")


def known_order(count: int = 74, *, seed: int = 0, scores: bool = True) -> CandidateLists:
    """Queries name a thing and a colour; a document with the colour is worth 6 logits, one with the thing 2."""
    rng = np.random.default_rng(seed)
    things, colours = THINGS, COLOURS
    documents = {f"d{t}{c}": f"the {c} {t} sits on the stone" for t in things for c in colours}
    lists = []
    for i in range(count):
        thing, colour = rng.choice(things), rng.choice(colours)
        ids = rng.permutation(list(documents))[:10].tolist()
        best = f"d{thing}{colour}"
        ids = [best, *(one for one in ids if one != best)]
        values = [6.0 * (colour in documents[one].split()) + 2.0 * (thing in documents[one].split()) for one in ids]
        scored = np.array(values if scores else [np.nan] * len(ids), dtype=np.float32)
        labels = np.array([1.0 if one == best else np.nan for one in ids], dtype=np.float32)
        kinds, ranks = ("given",) * len(ids), np.zeros(len(ids), dtype=np.int32)
        lists.append(ScoredList(f"q{i}", f"{thing} {colour} {WORDS[i % 11]}", tuple(ids), scored, labels, kinds, ranks))
    return CandidateLists(lists, documents)


@pytest.fixture(scope="module")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(
        tmp_path_factory.mktemp("student"), prompts={"query": "to ", "document": "of "}, initializer_range=0.2
    )


@pytest.fixture
def student(student_folder: Path):
    with BiEncoder.load(student_folder, device="cpu", backend="torch") as encoder:
        yield encoder


def spearman_of(encoder: BiEncoder, lists: CandidateLists) -> float:
    from scipy.stats import spearmanr

    found = []
    for one in lists:
        texts = [lists.documents[document_id] for document_id in one.document_ids]
        scores = encoder.similarity(encoder.encode_query([one.query]), encoder.encode_document(texts))[0]
        found.append(spearmanr(scores, one.scores).statistic)
    return float(np.mean(found))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(SETTINGS, id="both"),
        pytest.param(replace(SETTINGS, lora=4), id="lora"),
        pytest.param(replace(SETTINGS, layers=1), id="pruned"),
        pytest.param(replace(SETTINGS, freeze_layers=1, matryoshka=(32, 8)), id="frozen-matryoshka"),
        pytest.param(replace(SETTINGS, topic_lists=4), id="topics"),
        pytest.param(QUERY, id="query"),
        pytest.param(replace(QUERY, layers=(1,), losses={"kl": 1.0}), id="light"),
        pytest.param(replace(QUERY, static=True, losses={"kl": 1.0}, training=STATIC), id="static"),
    ],
)
def test_every_kind_of_student_learns_its_teacher_s_order(student, tmp_path, settings) -> None:
    unseen = known_order(30, seed=9)
    before = spearman_of(student, unseen)
    document_fingerprint = student.document_fingerprint
    report = train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=replace(settings, epochs=6))
    assert report.after["agreement"] > report.before["agreement"] + 0.2
    assert report.losses[-1][1] < report.losses[0][1]
    assert 40 < report.lists + report.held_out <= 74
    with report.load(device="cpu", backend="torch") as trained:
        assert spearman_of(trained, unseen) > before + 0.2
        assert trained.query_fingerprint != student.query_fingerprint
        assert (trained.document_fingerprint == document_fingerprint) == (settings.towers == "query")
        assert report.document_fingerprint == trained.document_fingerprint


@pytest.mark.parametrize("settings", [SETTINGS, QUERY, replace(SETTINGS, half=True)], ids=["both", "query", "half"])
def test_a_student_is_the_mean_of_what_it_was_and_what_it_learned(student, tmp_path, settings) -> None:
    learned = train_bi_encoder(known_order(), student, out=tmp_path / "learned", settings=settings)
    shared = replace(settings, base_share=0.25)
    report = train_bi_encoder(known_order(), student, out=tmp_path / "mean", settings=shared)
    tower = "document" if settings.towers == "both" else "query"
    with learned.load(device="cpu") as one, report.load(device="cpu") as other:
        old, new, mean = (
            load_file(getattr(each.checkpoint, tower).encoder.folder / "model.safetensors")
            for each in (student, one, other)
        )
        kept = student.document_fingerprint == other.document_fingerprint
        assert kept == (settings.towers == "query")
    for name, value in mean.items():
        expected = 0.25 * old[name].float() + 0.75 * new[name].float()
        torch.testing.assert_close(value.float(), expected, rtol=0, atol=1e-3 if settings.half else 1e-6)
    assert any(not torch.equal(old[name].float(), new[name].float()) for name in mean)
    assert report.curve == learned.curve  # epochs are compared before the mean is taken
    assert report.after != learned.after
    assert report.after["agreement"] > report.before["agreement"]


PARTS = ("embeddings.word_embeddings.", "embeddings.LayerNorm.", "encoder.layer.0.", "encoder.layer.1.", "pooler.")
LAYERS = {"encoder.layer.0.", "encoder.layer.1."}


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        pytest.param(SETTINGS, {"embeddings.LayerNorm.", *LAYERS}, id="embeddings"),
        pytest.param(replace(SETTINGS, freeze_embeddings=False), {*PARTS[:2], *LAYERS}, id="nothing"),
        pytest.param(replace(SETTINGS, freeze_layers=1), {"encoder.layer.1."}, id="layers"),
        pytest.param(replace(QUERY, freeze_layers=1), {"encoder.layer.1."}, id="layers-query"),
        pytest.param(replace(SETTINGS, lora=4), LAYERS, id="lora"),
        pytest.param(replace(SETTINGS, lora=4, freeze_layers=1), {"encoder.layer.1."}, id="lora-layers"),
    ],
)
def test_what_is_frozen_stays_as_it_was_to_the_last_bit(student, tmp_path, settings, changed) -> None:
    report = train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=replace(settings, epochs=1))
    with report.load(device="cpu") as trained:
        old, new = (
            load_file(each.checkpoint.query.encoder.folder / "model.safetensors") for each in (student, trained)
        )
    assert old.keys() == new.keys()
    moved = [name for name in old if not torch.equal(old[name], new[name])]
    assert {part for part in PARTS if any(name.startswith(part) for name in moved)} == changed


def test_matryoshka_makes_short_vectors_better(student, tmp_path) -> None:
    unseen, found = known_order(30, seed=9), {}
    for lengths in ((), (32, 4)):
        out = tmp_path / f"model-{len(lengths)}"
        settings = replace(SETTINGS, matryoshka=lengths, losses={"kl": 1.0}, epochs=5)
        report = train_bi_encoder(known_order(), student, out=out, settings=settings)
        with report.load(device="cpu", truncate_dim=4) as short:
            found[lengths] = spearman_of(short, unseen)
    assert found[(32, 4)] > found[()] + 0.05


def test_a_static_student_s_files_are_a_router_s_with_a_table(student, tmp_path) -> None:
    settings = replace(QUERY, static=True, epochs=1, training=STATIC)
    train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=settings)
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert [(module["path"], module["type"]) for module in modules] == [("", "sentence_transformers.models.Router")]
    router = json.loads((tmp_path / "model" / "router_config.json").read_text())
    kinds = {
        route: [router["types"][path].rpartition(".")[2] for path in paths]
        for route, paths in router["structure"].items()
    }
    assert kinds == {"query": ["StaticEmbedding", "Normalize"], "document": ["Transformer", "Pooling", "Normalize"]}
    table = load_file(tmp_path / "model" / "query" / "model.safetensors")
    assert {name: value.shape[1] for name, value in table.items()} == {"embedding.weight": 32}


def test_an_index_of_the_base_is_searched_by_a_student_of_frozen_documents(student, tmp_path) -> None:
    lists = known_order()
    passages = [Passage(text, id=name) for name, text in lists.documents.items()]
    report = train_bi_encoder(lists, student, out=tmp_path / "model", settings=replace(QUERY, layers=(1,)))
    with QdrantStore(client=QdrantClient(":memory:")) as store, report.load(device="cpu") as trained:
        TwoStageRetriever(student, store).index(passages)
        retriever = TwoStageRetriever(trained, store)
        hits = retriever.search(f"{THINGS[0]} {COLOURS[0]}", 5)
        assert retriever.index(passages) == IndexReport(unchanged=len(passages))
        query = trained.encode_query(f"{THINGS[0]} {COLOURS[0]}")
        scores = student.encode_document([passage.text for passage in passages]) @ query
    best = np.argsort(-scores)[:5]
    assert [hit.passage.id for hit in hits] == [passages[place].id for place in best]
    assert [hit.score for hit in hits] == pytest.approx(scores[best].tolist(), abs=1e-5)


def rows_of(documents: list[list[int]]) -> list[Row]:
    nothing = np.zeros(0, dtype=np.float32)
    return [Row(i, 0, np.array(places, dtype=np.int64), nothing, nothing) for i, places in enumerate(documents)]


def test_rows_that_share_documents_stand_together_in_any_draw() -> None:
    rows = rows_of([[0, 1, 2], [7, 8, 9], [0, 1, 3], [7, 8, 4], [1, 5, 0], [11], [], [13, 7]])
    orders = [by_topic(rows, 4, np.random.default_rng(seed)) for seed in range(20)]
    for seed, order in enumerate(orders):
        assert sorted(order) == list(range(8))
        for family in ({0, 2, 4}, {1, 3, 7}):
            first = min(order.index(place) for place in family)
            assert set(order[first : first + 3]) == family
        assert order == by_topic(rows, 4, np.random.default_rng(seed))
    assert len(set(map(tuple, orders))) > 10


def test_a_run_takes_the_nearest_first_and_no_more_than_it_may() -> None:
    rows = rows_of([[0, 1, 2, 3], [0, 9], [0, 1], [0, 1, 2, 3], [0, 1, 2], [8]])
    undrawn = SimpleNamespace(permutation=np.arange)
    assert by_topic(rows, 3, undrawn) == [0, 3, 4, 1, 2, 5]
    assert by_topic(rows, 2, undrawn) == [0, 3, 1, 2, 4, 5]
    assert by_topic(rows, 1, undrawn) == list(range(6))


def test_steps_of_one_topic_have_fewer_documents() -> None:
    rng = np.random.default_rng(3)
    topics = rng.permutation(np.repeat(np.arange(8), 16))
    rows = rows_of([(6 * topic + rng.permutation(6)[:4]).tolist() for topic in topics.tolist()])

    def distinct(order: list[int]) -> float:
        return float(
            np.mean([len({d for i in order[s : s + 16] for d in rows[i].documents}) for s in range(0, 128, 16)])
        )

    assert distinct(by_topic(rows, 16, rng)) < 12 < 30 < distinct(rng.permutation(128).tolist())


def test_losses_are_the_same_whether_or_not_a_run_was_interrupted(student, tmp_path, monkeypatch) -> None:
    lists = known_order()
    settings = replace(SETTINGS, training=replace(TRAINING, dropout=0.1), patience=9)
    whole = train_bi_encoder(lists, student, out=tmp_path / "whole", settings=settings)
    steps = interrupted_after(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        train_bi_encoder(lists, student, out=tmp_path / "broken", settings=settings)
    monkeypatch.undo()
    assert steps["taken"] == 9
    assert not (tmp_path / "broken").exists()
    (tmp_path / "broken.run" / "checkpoint-999").mkdir()  # what a kill in the middle of writing leaves behind
    resumed = train_bi_encoder(lists, student, out=tmp_path / "broken", settings=settings)
    assert [step for step, _ in resumed.losses] == [step for step, _ in whole.losses]
    assert [loss for _, loss in resumed.losses] == pytest.approx([loss for _, loss in whole.losses], abs=1e-6)
    assert replace(resumed, folder=whole.folder, losses=whole.losses) == whole
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def interrupted_after(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> dict[str, int]:
    forward, count = ListStudent.forward, {"taken": 0}

    @functools.wraps(forward)
    def counted(self, *args, **kwargs):
        if count["taken"] == stop_at:
            raise KeyboardInterrupt
        count["taken"] += 1
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ListStudent, "forward", counted)
    return count


def test_the_trainer_neither_counts_labels_nor_multiplies_the_loss(student, tmp_path, monkeypatch) -> None:
    """Handed a count of labels, it would multiply the loss by the number of processes."""
    forward, seen = ListStudent.forward, set()

    @functools.wraps(forward)
    def noting(self, *args, **kwargs):
        seen.update(kwargs)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ListStudent, "forward", noting)
    train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=replace(QUERY, epochs=1))
    assert "labels" in seen
    assert "num_items_in_batch" not in seen


def test_one_process_takes_one_gpu(tmp_path, monkeypatch) -> None:
    """The Trainer would spread a batch over all GPUs that it sees, and tear it apart."""
    monkeypatch.setattr("transformers.TrainingArguments.n_gpu", property(lambda self: getattr(self, "_n_gpu", 1)))
    made = TrainingArguments.__post_init__

    def with_four_gpus(self) -> None:
        made(self)
        self._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", with_four_gpus)
    arguments = training_arguments(tmp_path, TRAINING)
    assert arguments.n_gpu == 1
    assert arguments.train_batch_size == TRAINING.batch_size


def test_training_stays_on_the_cpu_where_that_is_asked_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_arguments(tmp_path, replace(TRAINING, device="cpu", bf16=False)).device.type == "cpu"
    assert "device" not in replace(TRAINING, device="cpu").recipe
    with pytest.raises(ConfigurationError, match=r"device must be 'auto' or 'cpu' in training; got 'cuda:1'"):
        replace(TRAINING, device="cuda:1")


def test_matryoshka_leaves_lengths_to_models_that_compare_by_dot_product() -> None:
    """The whole vector is one of the lengths: the loss of it alone is the loss without Matryoshka."""
    torch.manual_seed(0)
    queries, documents = 3 * torch.randn(2, 8), 3 * torch.randn(3, 8)
    columns = torch.tensor([[0, 1], [2, 1]])
    teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    nothing, mask = torch.full((2, 2), torch.nan), torch.ones(2, 2, dtype=torch.bool)
    found = []
    for dimensions in ((), (8,)):
        module = ListStudent({}, weights={"kl": 1.0}, spreads=[1.0], dimensions=dimensions, cosine=False)
        batch = _Lists(module, columns, mask, teacher, nothing, torch.zeros(2, dtype=torch.long), {})
        found.append(batch.loss(queries, documents).item())
    assert found[0] == pytest.approx(found[1])


def test_a_pass_is_as_long_as_its_device_likes_it_and_what_was_asked_for_wins() -> None:
    assert TrainingSettings().pass_tokens("cpu") < TrainingSettings().pass_tokens("cuda")
    assert {TrainingSettings(chunk_tokens=40).pass_tokens(device) for device in ("cpu", "cuda")} == {40}


def test_eager_attention_is_for_bfloat16_on_a_cpu():
    eager = {"attn_implementation": "eager"}
    assert TrainingSettings(bf16=True).attention("cpu") == eager
    assert TrainingSettings(bf16=False).attention("cpu") == TrainingSettings(bf16=True).attention("cuda") == {}


@pytest.mark.parametrize(("bf16", "attention"), [(True, "eager"), (False, "sdpa")])
def test_towers_and_cross_encoders_are_loaded_with_it(student, student_folder, tmp_path, bf16, attention) -> None:
    training = replace(TRAINING, bf16=bf16)
    towers, _ = build_towers(student.checkpoint, replace(SETTINGS, training=training), "cpu", [], tmp_path)
    assert towers["both"].model.config._attn_implementation == attention
    cross, _ = load_base(student_folder, seed=0, dropout=0.0, attention=training.attention("cpu"))
    assert cross.config._attn_implementation == attention


def test_a_finished_run_trains_no_more(student, tmp_path, monkeypatch) -> None:
    lists = known_order()
    first = train_bi_encoder(lists, student, out=tmp_path / "a", settings=QUERY, run_folder=tmp_path / "run")
    steps = interrupted_after(monkeypatch, 10**9)
    again = train_bi_encoder(lists, student, out=tmp_path / "b", settings=QUERY, run_folder=tmp_path / "run")
    assert steps["taken"] == 0
    assert replace(again, folder=first.folder) == first
    with pytest.raises(ConfigurationError, match="holds another run"):
        train_bi_encoder(known_order(40), student, out=tmp_path / "c", settings=QUERY, run_folder=tmp_path / "run")


def test_a_model_is_there_with_its_record_or_not_at_all(student, tmp_path, monkeypatch) -> None:
    lists, settings, out = known_order(), replace(QUERY, epochs=1), tmp_path / "model"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bicross.distillation.towers.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        train_bi_encoder(lists, student, out=out, settings=settings)
    assert not out.exists()
    monkeypatch.undo()
    steps = interrupted_after(monkeypatch, 10**9)
    monkeypatch.setattr("bicross.distillation.student._report", killed)  # the model is written, and nobody heard of it
    with pytest.raises(KeyboardInterrupt):
        train_bi_encoder(lists, student, out=out, settings=settings)
    assert steps["taken"] == 0
    monkeypatch.undo()
    report = train_bi_encoder(lists, student, out=out, settings=settings)
    assert json.loads((out / "bicross.json").read_text())["after"] == report.after
    assert report.document_fingerprint == student.document_fingerprint


def test_a_call_that_is_repeated_returns_the_same_report(student, tmp_path, monkeypatch) -> None:
    lists, out = known_order(), tmp_path / "model"
    first = train_bi_encoder(lists, student, out=out, settings=QUERY)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    shutil.rmtree(tmp_path / "model.run")
    steps = interrupted_after(monkeypatch, 10**9)
    assert train_bi_encoder(lists, student, out=out, settings=QUERY) == first
    assert steps["taken"] == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == written
    for data, settings in ((known_order(40), QUERY), (lists, replace(QUERY, sharpness=2.0))):
        with pytest.raises(ConfigurationError, match=r"isn't empty, and holds no model of these settings and data"):
            train_bi_encoder(data, student, out=out, settings=settings)


def test_training_of_another_format_is_said_to_be_so(student, tmp_path) -> None:
    run = tmp_path / "model.run" / "run.json"
    train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=replace(QUERY, epochs=1))
    kept = json.loads(run.read_text())
    assert next(iter(kept)) == "format"
    for found in ({**kept, "format": 7}, {name: value for name, value in kept.items() if name != "format"}):
        run.write_text(json.dumps(found, indent=2))
        with pytest.raises(ConfigurationError, match=rf"of format 3; .* has format {found.get('format')}\. Go on with"):
            train_bi_encoder(
                known_order(), student, out=tmp_path / "other", settings=replace(QUERY, epochs=1), run_folder=run.parent
            )


def test_training_stops_when_the_held_out_figures_stop_rising(student, tmp_path) -> None:
    nothing = replace(QUERY, epochs=9, patience=2, training=replace(TRAINING, learning_rate=1e-12))
    report = train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=nothing)
    assert len(report.curve) == 2
    steps = report.lists // TRAINING.batch_size
    kept = {path.name for path in (tmp_path / "model.run").glob("checkpoint-*")}
    assert kept == {f"checkpoint-{steps}", f"checkpoint-{2 * steps}"}


def test_frozen_documents_come_from_the_cache(student, tmp_path, monkeypatch) -> None:
    lists = known_order()
    with VectorCache(tmp_path / "cache") as cache:
        texts = list(lists.documents.values())
        cache.encode(student.document_fingerprint, texts, lambda new: student.encode_document(list(new)))
        monkeypatch.setattr(student, "encode_document", None)
        report = train_bi_encoder(lists, student, out=tmp_path / "model", settings=QUERY, cache=cache)
    assert report.document_fingerprint == student.document_fingerprint
    kept = json.loads((tmp_path / "model" / "bicross.json").read_text())
    assert kept["settings"]["towers"] == "query"
    assert kept["after"]["agreement"] == report.after["agreement"]


def test_the_folder_is_uploaded_with_a_card_and_the_record_of_its_training(student_folder, tmp_path, hub) -> None:
    base = shutil.copytree(student_folder, tmp_path / "mine")
    (base / "README.md").write_text("---\nlicense: mit\n---\n")
    with BiEncoder.load(base, device="cpu", backend="torch") as encoder:
        report = train_bi_encoder(known_order(), encoder, out=tmp_path / "model", settings=replace(QUERY, epochs=1))
    (report.folder / ".env").write_text("HF_TOKEN=hf_secret")
    assert report.push_to_hub("me/student", token="hf_secret") == "https://hub.example/me/student"
    assert hub.calls == [("token", "hf_secret"), ("create", "me/student", True, True), ("upload", "me/student")]
    written = {path.relative_to(report.folder).as_posix() for path in report.folder.rglob("*") if path.is_file()}
    assert {"bicross.json", "modules.json", "query/model.safetensors"} < written
    assert set(hub.files) == written - {".env"} | {"README.md"}
    assert not any(secret in content for content in hub.files.values() for secret in (b"hf_", bytes(tmp_path)))
    (tmp_path / "card.md").write_bytes(hub.files["README.md"])
    fields = metadata_load(tmp_path / "card.md")
    assert (fields["license"], "base_model" in fields) == ("mit", False)
    card = hub.files["README.md"].decode()
    assert "# mine, trained on candidate lists" in card
    assert f"{report.lists} lists; epoch 1 was chosen on {report.held_out} held-out lists" in card
    (report.folder / "README.md").write_text("# Mine\n")
    report.push_to_hub("me/student", private=False)
    assert hub.calls == [("token", None), ("create", "me/student", False, True), ("upload", "me/student")]
    assert hub.files["README.md"] == b"# Mine\n"


def test_a_students_folder_does_not_repeat_what_its_base_was_trained_on(student_folder, tmp_path) -> None:
    base = shutil.copytree(student_folder, tmp_path / "mine")
    (base / "bicross.json").write_text('{"trained_on": ["squad"], "notes": "mine"}')
    with BiEncoder.load(base, device="cpu", backend="torch") as encoder:
        train_bi_encoder(known_order(), encoder, out=tmp_path / "model", settings=replace(QUERY, epochs=1))
    kept = json.loads((tmp_path / "model" / "bicross.json").read_text())
    assert kept.keys().isdisjoint({"trained_on", "notes"})
    assert (kept["base"], kept["base_model"], kept["base_license"]) == ("mine", None, None)


def test_several_teachers_have_a_scale_each(student, tmp_path) -> None:
    one = known_order()
    other = one.with_scores(one.scores * 10 - 300)
    settings = replace(QUERY, losses={"mse": 1.0}, epochs=2, held_out=4)
    report = train_bi_encoder([one, other], student, out=tmp_path / "model", settings=settings)
    assert len(report.scales) == 2
    assert report.scales[0] != report.scales[1]


def test_regression_learns_logits_whose_zero_is_far_away(tmp_path) -> None:
    folder = write_bi_encoder(tmp_path / "student", similarity="dot", initializer_range=0.2)
    settings, lists, reports = replace(SETTINGS, losses={"mse": 1.0}, epochs=8, patience=8), known_order(), []
    with BiEncoder.load(folder, device="cpu", backend="torch") as student:
        for offset in (0, -300):
            moved = lists.with_scores(lists.scores + offset)
            reports.append(train_bi_encoder(moved, student, out=tmp_path / f"{offset}", settings=settings))
    near, far = ([loss for _, loss in report.losses] for report in reports)
    assert far[:12] == pytest.approx(near[:12], rel=1e-2)
    assert far[-1] < 0.6 * far[0]
    assert reports[1].after["agreement"] > reports[1].before["agreement"] + 0.2


def test_only_sets_that_are_trained_on_have_a_scale(student, tmp_path) -> None:
    settings = replace(QUERY, losses={"mse": 1.0}, epochs=1)
    report = train_bi_encoder(
        known_order(), student, out=tmp_path / "model", settings=settings, held_out=known_order(9, seed=5)
    )
    assert len(report.scales) == 1
    assert report.held_out == 9


def test_what_is_held_out_stays_so_when_other_lists_come_and_go() -> None:
    every = Lists.of([known_order()])
    train, held = split_lists(every, 10, seed=3)
    asked = {every.queries[row.query] for row in held}
    assert len(held) == 10
    assert asked.isdisjoint(every.queries[row.query] for row in train)
    answers = {place for row in held for place in row.documents[row.labels > 0].tolist()}
    assert any(answers & set(row.documents.tolist()) for row in every.rows if every.queries[row.query] not in asked)
    for row in train:
        assert answers.isdisjoint(row.documents.tolist())
        assert len(row.documents) == len(row.scores) == len(row.labels)
        before = every.rows[row.query]
        assert row.scores.tolist() == before.scores[~np.isin(before.documents, list(answers))].tolist()
    some = known_order()
    fewer = Lists.of([CandidateLists([one for i, one in enumerate(some) if i % 3], some.documents)])
    _, again = split_lists(fewer, 5, seed=3)
    kept = [fewer.queries[row.query] for row in again]
    assert sum(query in asked for query in kept) >= 4
    assert {every.queries[row.query] for row in split_lists(every, 10, seed=4)[1]} != asked


def test_a_query_is_not_on_both_sides_under_two_ids() -> None:
    lists = known_order(30)
    others = [replace(one, query_id=f"again-{one.query_id}", labels=one.labels * np.nan) for one in lists]
    every = Lists.of([CandidateLists([*lists, *others], lists.documents)])
    train, held = split_lists(every, 5, seed=0)
    assert {every.queries[row.query] for row in held}.isdisjoint(every.queries[row.query] for row in train)


def test_texts_alone_teach_a_table_the_vectors_of_its_tower(student, tmp_path) -> None:
    texts = texts_alone([f"{a} {b}" for a in WORDS[11:25] for b in WORDS[11:25]])
    settings = replace(QUERY, static=True, losses={"anchor": 1.0}, epochs=5)
    report = train_bi_encoder([texts, known_order()], student, out=tmp_path / "model", settings=settings)
    with report.load(device="cpu") as trained:
        words = [f"{a} {b}" for a in THINGS for b in COLOURS]
        cosines = (trained.encode_query(words) * student.encode_query(words)).sum(axis=1)
    assert report.losses[-1][1] < 0.7 * report.losses[0][1]
    assert cosines.mean() > 0.9


class Wide:
    """A larger bi-encoder: the student's vectors, turned and made longer."""

    document_fingerprint = "wide"

    def __init__(self, student: BiEncoder, width: int) -> None:
        self.student = student
        self.turn = np.linalg.qr(np.random.default_rng(0).normal(size=(max(width, 32), max(width, 32))))[0]
        self.width = width

    def encode_query(self, texts) -> Floats:
        return self._turn(self.student.encode_query(texts))

    def encode_document(self, texts) -> Floats:
        return self._turn(self.student.encode_document(texts))

    def _turn(self, vectors: Floats) -> Floats:
        padded = np.pad(vectors, ((0, 0), (0, len(self.turn) - vectors.shape[1])))
        return (padded @ self.turn)[:, : self.width].astype(np.float32)


def test_vectors_of_another_dimension_are_matched_through_a_projection(student, tmp_path) -> None:
    settings = replace(SETTINGS, losses={"vectors": 1.0}, epochs=4)
    report = train_bi_encoder(
        known_order(), student, out=tmp_path / "model", settings=settings, vector_teacher=Wide(student, 48)
    )
    assert report.losses[-1][1] < 0.5 * report.losses[0][1]


def test_another_model_as_query_tower(student, tmp_path) -> None:
    small = write_bi_encoder(tmp_path / "small", seed=5, num_hidden_layers=1, initializer_range=0.2)
    narrow = write_bi_encoder(tmp_path / "narrow", hidden_size=16)
    lists = known_order()
    with BiEncoder.load(small, device="cpu") as tower, BiEncoder.load(narrow, device="cpu") as other:
        report = train_bi_encoder(lists, student, out=tmp_path / "model", settings=QUERY, query_tower=tower)
        with pytest.raises(DimensionMismatchError, match=r"frozen documents' 32 dimensions.* gives 16"):
            train_bi_encoder(lists, student, out=tmp_path / "other", settings=QUERY, query_tower=other)
        with pytest.raises(ConfigurationError, match="set towers='query'"):
            train_bi_encoder(lists, student, out=tmp_path / "other", settings=SETTINGS, query_tower=tower)
    with report.load(device="cpu") as trained:
        assert trained.prompts == {"query": "", "document": "of "}
    assert report.document_fingerprint == student.document_fingerprint
    assert report.after["agreement"] > report.before["agreement"]


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(student, tmp_path, monkeypatch) -> None:
    forward, count = ListStudent.forward, {"taken": 0}

    @functools.wraps(forward)
    def poisoned(self, *args, **kwargs):
        count["taken"] += 1
        if count["taken"] == 6:
            kwargs["teacher"] = kwargs["teacher"] * 1e38 * 1e38 * torch.nan
            self.label_scale.offset.data.fill_(torch.nan)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(ListStudent, "forward", poisoned)
    settings = replace(QUERY, losses={"contrastive": 1}, training=replace(TRAINING, batch_size=10))
    message = (
        r"A loss must be a finite number.*step 6.* and 2 more\..*checkpoint-5.*train_reranker need another run_folder"
    )
    with pytest.raises(TrainingError, match=message) as error:
        train_bi_encoder(known_order(), student, out=tmp_path / "m", settings=settings)
    assert any(word in str(error.value) for word in THINGS)
    kept = load_file(tmp_path / "m.run" / "checkpoint-5" / "model.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in kept.values())
    assert not (tmp_path / "m").exists()


def test_a_gradient_that_is_no_number_stops_before_it_reaches_the_weights(student, tmp_path, monkeypatch) -> None:
    forward = ListStudent.forward

    @functools.wraps(forward)
    def poisoned(self, *args, **kwargs):
        found = forward(self, *args, **kwargs)
        offset = self.scale.offset.sum() - self.scale.offset.sum().detach()
        return {"loss": found["loss"] + torch.sqrt(offset)}  # 0, with an infinite slope

    monkeypatch.setattr(ListStudent, "forward", poisoned)
    with pytest.raises(TrainingError, match=r"A gradient must be a finite number.*step 1.*checkpoint is none"):
        train_bi_encoder(known_order(), student, out=tmp_path / "m", settings=QUERY)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"towers": "documents"}, "towers must be 'both' or 'query'"),
        ({"static": True}, "static query tower needs towers='query'"),
        ({"losses": {"hinge": 1.0}}, "losses must be of.*'hinge'"),
        ({"losses": {"kl": 0.0}}, "losses need weights"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"matryoshka": (64,)}, "lengths from 1 to the student's 32; got 64"),
        ({"losses": {"vectors": 1.0}}, "come together"),
        ({"layers": 3}, "layers must be from 1 to the model's 2; got 3"),
        ({"layers": (1, 0)}, "rising positions"),
        ({"freeze_layers": 3}, r"freeze_layers must be from 0 to 2 \(lora needs one layer that isn't frozen\); got 3"),
        ({"freeze_layers": 2, "lora": 4}, r"freeze_layers must be from 0 to 1 .*got 2\. Freeze fewer"),
        ({"topic_lists": 0}, "topic_lists must be at least 1; got 0"),
        ({"base_share": 1.0}, "base_share must be from 0 to below 1; got 1.0"),
        ({"base_share": 0.5, "lora": 2}, "base_share averages whole weights"),
        ({"held_out": 74}, "leave lists to train on"),
        ({"training": replace(TRAINING, batch_size=64)}, "batch_size=64"),
    ],
)
def test_settings_that_make_no_sense(student, tmp_path, settings, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        train_bi_encoder(known_order(), student, out=tmp_path / "model", settings=replace(SETTINGS, **settings))


def first_only(lists: CandidateLists) -> CandidateLists:
    """One candidate for each query."""
    one = slice(0, 1)
    return CandidateLists(
        (
            ScoredList(
                x.query_id, x.query, x.document_ids[one], x.scores[one], x.labels[one], x.kinds[one], x.ranks[one]
            )
            for x in lists
        ),
        lists.documents,
    )


def test_losses_without_anything_to_learn_from_are_named(student, tmp_path, caplog) -> None:
    settings = replace(QUERY, epochs=1, losses={"kl": 1.0, "contrastive": 1.0})
    train_bi_encoder(first_only(known_order(scores=False)), student, out=tmp_path / "model", settings=settings)
    assert "no list has what the losses ['kl'] learn from" in caplog.text


def test_data_that_teaches_nothing(student, tmp_path) -> None:
    lists = known_order()
    with pytest.raises(InputError, match="nothing to distil"):
        train_bi_encoder(lists.with_scores(lists.scores * 0), student, out=tmp_path / "model", settings=SETTINGS)
    with pytest.raises(InputError, match="got none"):
        train_bi_encoder(CandidateLists([], {}), student, out=tmp_path / "model", settings=SETTINGS)
    with pytest.raises(InputError, match=r"none of 74 lists does \(losses: kl\)"):
        train_bi_encoder(
            known_order(scores=False), student, out=tmp_path / "model", settings=replace(SETTINGS, losses={"kl": 1.0})
        )
    with pytest.raises(InputError, match=r"none of 74 lists does.*Mine more candidates"):
        train_bi_encoder(
            first_only(lists), student, out=tmp_path / "model", settings=replace(QUERY, losses={"kl": 1, "listwise": 1})
        )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigurationError, match="isn't empty"):
        train_bi_encoder(lists, student, out=tmp_path / "full", settings=SETTINGS)
