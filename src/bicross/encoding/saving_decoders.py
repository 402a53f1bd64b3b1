"""Writes what sentence-transformers 6.x needs to read a pair as a decoder does: LogitScore and a chat template.

There is no older key set for this: sentence-transformers knows it from 5.4 on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bicross.encoding.files import write_json
from bicross.encoding.specs import AnswerSpec, ChatTemplateSpec, PairTemplate, ScorerSpec

_TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
_LOGIT_SCORE = "sentence_transformers.cross_encoder.modules.logit_score.LogitScore"
_ANSWER_FOLDER = "1_LogitScore"
_CHAT_TEMPLATE = "chat_template.jinja"


def write_decoder(spec: ScorerSpec, folder: Path, max_length: int) -> None:
    """Write the modules of a scorer beside its transformer and tokenizer.

    Args:
        spec: What was loaded.
        folder: Where its transformer was written.
        max_length: Longest pair in tokens.
    """
    modules = [{"idx": 0, "name": "0", "path": "", "type": _TRANSFORMER}]
    if spec.answer is not None:
        modules.append({"idx": 1, "name": "1", "path": _ANSWER_FOLDER, "type": _LOGIT_SCORE})
        (folder / _ANSWER_FOLDER).mkdir()
        write_json(folder / _ANSWER_FOLDER / "config.json", _answer(spec.answer))
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", _transformer(spec, max_length))
    if isinstance(spec.template, PairTemplate):
        (folder / _CHAT_TEMPLATE).write_text(_jinja(spec.template), encoding="utf-8")
    elif spec.template is not None and (spec.encoder.folder / _CHAT_TEMPLATE).is_file():
        shutil.copyfile(spec.encoder.folder / _CHAT_TEMPLATE, folder / _CHAT_TEMPLATE)


def _answer(answer: AnswerSpec) -> dict[str, Any]:
    return {"true_token_id": answer.true_id, "false_token_id": answer.false_id, "module_input_name": "causal_logits"}


def _transformer(spec: ScorerSpec, max_length: int) -> dict[str, Any]:
    task, output = ("sequence-classification", "scores")
    if spec.answer is not None:
        task, output = ("text-generation", "causal_logits")
    method = {"method": "forward", "method_output_name": "logits"}
    settings: dict[str, Any] = {
        "transformer_task": task,
        "modality_config": {"text": method},
        "module_output_name": output,
        "max_seq_length": max_length,
    }
    if spec.template is not None:
        settings["modality_config"]["message"] = method | {"format": "flat"}
    if isinstance(spec.template, ChatTemplateSpec) and (options := json.loads(spec.template.options)):
        settings["processing_kwargs"] = {"chat_template": options}
    return settings


def _jinja(template: PairTemplate) -> str:
    """A chat template that frames one message of the role "query" and one of the role "document".

    Where the template has a place for an instruction, that is a message of the role "system".
    """

    def content(role: str) -> str:
        return f'messages | selectattr("role", "eq", "{role}") | map(attribute="content") | first'

    trim = " | trim" if template.strip else ""
    before, between, after = (json.dumps(text) for text in (template.before, template.between, template.after))
    task = ""
    if template.instruction is not None:
        front, behind = map(json.dumps, template.instruction)
        task = f'{{%- set task = {content("system")} | default("") %}}'
        before = f"({front} ~ task ~ {behind} if task else {before})"
    parts = [before, f"({content('query')}{trim})", between, f"({content('document')}{trim})", after]
    return f"{task}{{{{- {' ~ '.join(parts)} }}}}"
