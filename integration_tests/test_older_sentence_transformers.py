"""What we save loads in sentence-transformers 5.3, which knows only the older key set, with equal numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bicross import BiEncoder, CrossEncoder
from tiny_families import write_encoder_checkpoint, write_qwen_embedding, write_zembed
from tiny_models import write_bi_encoder, write_cross_encoder, write_json

VERSION = "5.3.0"
ALIKE = ("minilm", "cls", "last", "zembed", "e5", "qwen")
TEXTS = ["", "the cat sits", "a dog . " * 20, "zebra 中"]
READER = """
import sys
import numpy as np
import sentence_transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
assert sentence_transformers.__version__ == sys.argv[1], sentence_transformers.__version__
folder, texts = sys.argv[2], sys.argv[3:]
for name in ("minilm", "cls", "last"):
    np.save(f"{folder}/{name}.npy", SentenceTransformer(f"{folder}/{name}", device="cpu").encode(texts))
for name in ("zembed", "e5", "qwen"):
    model = SentenceTransformer(f"{folder}/{name}", device="cpu")
    np.save(f"{folder}/{name}.npy", model.encode(texts, prompt_name="document"))
towers = SentenceTransformer(f"{folder}/towers", device="cpu")
np.save(f"{folder}/query.npy", towers.encode_query(texts))
np.save(f"{folder}/document.npy", towers.encode_document(texts))
np.save(f"{folder}/cross.npy", CrossEncoder(f"{folder}/cross", device="cpu").predict([("the cat", t) for t in texts]))
"""


def two_towers(folder: Path) -> Path:
    write_bi_encoder(folder / "q", seed=5)
    write_bi_encoder(folder / "d", seed=6)
    prefix = "sentence_transformers.models."
    types = {
        f"{tower}{path}": prefix + kind
        for tower in "qd"
        for path, kind in (("", "Transformer"), ("/1_Pooling", "Pooling"))
    }
    structure = {"query": ["q", "q/1_Pooling"], "document": ["d", "d/1_Pooling"]}
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": {}})
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": prefix + "Router"}])
    return folder


def test_saved_checkpoints_load_there(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", tmp_path / "site", f"sentence-transformers=={VERSION}"], check=True)
    models = {
        "minilm": BiEncoder.load("minilm"),
        "cls": BiEncoder.load(write_bi_encoder(tmp_path / "a", pooling={"pooling_mode_cls_token": True})),
        "last": BiEncoder.load(
            write_bi_encoder(tmp_path / "b", pooling={"pooling_mode_lasttoken": True}, normalize=False)
        ),
        "towers": BiEncoder.load(two_towers(tmp_path / "t")),
        "zembed": BiEncoder.load(write_zembed(tmp_path / "z")),
        "qwen": BiEncoder.load(write_qwen_embedding(tmp_path / "w")),
        "e5": BiEncoder.load(
            write_encoder_checkpoint(tmp_path / "e", "BertModel", "mean", prompts={"passage": "the old "})
        ),
    }
    cross = CrossEncoder.load(write_cross_encoder(tmp_path / "c", activation="torch.nn.modules.linear.Identity"))
    for name, model in models.items():
        model.save(tmp_path / "saved" / name)
    cross.save(tmp_path / "saved" / "cross")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", READER, VERSION, str(tmp_path / "saved"), *TEXTS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    expected = {name: models[name].encode_document(TEXTS) for name in ALIKE}
    expected["query"] = models["towers"].encode_query(TEXTS)
    expected["document"] = models["towers"].encode_document(TEXTS)
    expected["cross"] = cross.predict([("the cat", text) for text in TEXTS])
    # It strips a text's ends, which a decoder's tokens tell apart: only texts that begin and end with a letter agree.
    plain = [i for i, text in enumerate(TEXTS) if text and text == text.strip()]
    for name, vectors in expected.items():
        if name in ("zembed", "qwen"):
            found = np.load(tmp_path / "saved" / f"{name}.npy")
            np.testing.assert_allclose(found[plain], vectors[plain], atol=1e-5)
            continue
        np.testing.assert_allclose(np.load(tmp_path / "saved" / f"{name}.npy"), vectors, atol=1e-5)
