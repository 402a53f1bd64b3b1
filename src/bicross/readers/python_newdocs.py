"""Docstrings that a package hands to its compiled objects from Python, as numpy does by ``add_newdoc``."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bicross.readers.python_modules import Library, Module

_FUNCTION = "add_newdoc"
# C's text signature: name($self, …) and a line of two dashes.
_TEXT_SIGNATURE = re.compile(r"\A\w+(\(.*?\))\n--\n+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class NewDoc:
    """A docstring and what it is for.

    Attributes:
        place: The module.
        name: The object in it.
        attribute: A method or attribute of the object, None for the object itself.
        text: The docstring.
        signature: The parameters, where the docstring begins with them.
        line: Unit: lines of the module's file, from 1.
    """

    place: str
    name: str
    attribute: str | None
    text: str
    signature: str | None
    line: int


def modules_with_newdocs(package: str, library: Library) -> Iterator[Module]:
    """The modules under a package, private ones too, that hand out docstrings."""
    for name, path in library.submodules(package):
        if path.is_dir():
            yield from modules_with_newdocs(name, library)
        elif path.suffix == ".py" and f"{_FUNCTION}(".encode() in path.read_bytes():
            module = library.module(name)
            if module is not None:
                yield module


def newdocs(module: Module) -> Iterator[NewDoc]:
    """All docstrings that a module hands out, as far as they are written as they stand."""
    helpers = _helpers(module)
    for call in ast.walk(module.tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        if call.func.id == _FUNCTION and len(call.args) >= 3:
            place, name, doc = call.args[:3]
            for pair in doc.elts if isinstance(doc, ast.List) else [doc]:
                attribute, text = pair.elts if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 else (None, pair)
                yield from _newdoc(place, name, attribute, text)
        elif call.func.id in helpers and len(call.args) >= 2:
            place, name = helpers[call.func.id]
            first, doc = call.args[0], call.args[-1]
            is_method = isinstance(name, ast.Constant)
            yield from _newdoc(place, name if is_method else first, first if is_method else None, doc)


def _helpers(module: Module) -> dict[str, tuple[ast.expr, ast.expr]]:
    """Functions that complete a docstring and pass it on: their first argument is a name, the last the docstring."""
    found: dict[str, tuple[ast.expr, ast.expr]] = {}
    for name, definition in module.definitions.items():
        for call in ast.walk(definition):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _FUNCTION:
                found.setdefault(name, (call.args[0], call.args[1]))
    return found


def _newdoc(place: ast.expr, name: ast.expr, attribute: ast.expr | None, text: ast.expr) -> Iterator[NewDoc]:
    # "…".replace(…) is read without the replacement.
    strings = (node.value for node in ast.walk(text) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    doc = inspect.cleandoc(next(strings, ""))
    names = [part.value if isinstance(part, ast.Constant) else None for part in (place, name, attribute) if part]
    if not doc or not all(isinstance(part, str) for part in names):
        return
    signature = _TEXT_SIGNATURE.match(doc)
    yield NewDoc(
        place=str(names[0]),
        name=str(names[1]),
        attribute=str(names[2]) if len(names) == 3 else None,
        text=doc[signature.end() :] if signature else doc,
        signature=" ".join(signature[1].split()).replace("$", "").replace("( ", "(") if signature else None,
        line=text.lineno,
    )
