"""A local sequence-to-sequence model that writes queries for passages (doc2query, Nogueira and Lin 2019); and a
generator whose answers survive a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bicross.arguments import check_count
from bicross.distillation.made_queries import QueryGenerator
from bicross.encoding.fingerprint import digest, encoder_digest
from bicross.errors import CheckpointError, ModelNotFoundError


class Seq2SeqGenerator:
    """Samples queries from a checkpoint such as a T5 that was trained for it; made for `generate_queries`.

    Args:
        folder: A local folder with safetensors; nothing is downloaded and no code of the checkpoint's is run.
        per_text: Queries of a text.
        prompt: Stands in front of every text.
        max_length: Tokens of a text that are read.
        query_length: Most tokens of a query.
        seed: Of the sampling.
        device: "auto", or as torch names it.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        per_text: int = 1,
        prompt: str = "",
        max_length: int = 384,
        query_length: int = 48,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.folder = Path(folder)
        self.per_text = check_count(per_text, "per_text")
        self.prompt = prompt
        self.max_length = max_length
        self.query_length = query_length
        self.seed = seed
        self.device = device
        self._loaded: tuple[Any, Any] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights, the tokenizer's files and every option that changes a query, wherever they lie.

        Raises:
            ModelNotFoundError: There is no such folder.
            CheckpointError: It holds no safetensors.
        """
        self._check_folder()
        names = ("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "*.model")
        files = sorted(path for name in names for path in self.folder.glob(name))
        tokenizer = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
        options = (self.per_text, self.prompt, self.max_length, self.query_length, self.seed)
        return digest(encoder_digest(self.folder), tokenizer, options)

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """Queries of each text, equal ones once.

        Raises:
            ModelNotFoundError: There is no such folder.
            CheckpointError: It holds no sequence-to-sequence model in safetensors.
        """
        import torch

        tokenizer, model = self._load()
        given = tokenizer(
            [self.prompt + text for text in texts],
            truncation=True,
            max_length=self.max_length,
            padding=True,
            return_tensors="pt",
        ).to(model.device)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            found = model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                do_sample=True,
                top_p=0.95,
                max_new_tokens=self.query_length,
                num_return_sequences=self.per_text,
            )
        queries = [query.strip() for query in tokenizer.batch_decode(found, skip_special_tokens=True)]
        parts = (queries[i * self.per_text : (i + 1) * self.per_text] for i in range(len(texts)))
        return [list(dict.fromkeys(query for query in part if query)) for part in parts]

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._check_folder()
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

            from bicross.encoding.backends.torch_loading import pick_device

            device = pick_device(self.device)
            try:
                tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
                model = AutoModelForSeq2SeqLM.from_pretrained(
                    self.folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
                )
            except (OSError, ValueError) as error:
                raise CheckpointError(
                    f"{str(self.folder)!r} must hold a sequence-to-sequence model in safetensors: {error}"
                ) from error
            self._loaded = tokenizer, model.to(device).eval()
        return self._loaded

    def _check_folder(self) -> None:
        if not self.folder.is_dir():
            raise ModelNotFoundError(f"There is no folder {str(self.folder)!r} with a query generator.")


class KeptGenerator:
    """A generator that asks another one, and keeps its answers in a file: a kill loses one call of it.

    Args:
        generator: Asked for what the file doesn't hold.
        path: The file; a line for each call.
    """

    def __init__(self, generator: QueryGenerator, path: Path) -> None:
        self.generator, self.path = generator, path
        self._kept: dict[str, list[list[str]]] = {}
        written = path.read_bytes() if path.exists() else b""
        whole = written[: written.rfind(b"\n") + 1]
        if whole != written:  # killed in the middle of a line
            path.write_bytes(whole)
        for line in whole.splitlines():
            kept = json.loads(line)
            self._kept[kept["texts"]] = kept["queries"]

    def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[str]]:
        """Queries of each text."""
        key = hashlib.sha256("\x00".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
        if key not in self._kept:
            self._kept[key] = [list(queries) for queries in self.generator(texts)]
            with self.path.open("ab") as file:
                file.write(json.dumps({"texts": key, "queries": self._kept[key]}).encode() + b"\n")
        return self._kept[key]
