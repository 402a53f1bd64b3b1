"""Docstrings of installed Python packages and the standard library, read from their source: nothing is imported."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from bicross.errors import ReadError
from bicross.readers.python_modules import FUNCTIONS, Definition, Library, Module, is_public
from bicross.readers.python_names import PATH_MODULES, Public, Resolver, is_same_package, members, public_names
from bicross.readers.python_newdocs import modules_with_newdocs, newdocs
from bicross.readers.reading import AnotherKindError, Document, Heading, Reading, Skipped, UnreadableError

STDLIB = "stdlib"
# Jokes, demonstrations and tests.
_NOT_LIBRARY = PATH_MODULES | {"antigravity", "idlelib", "lib2to3", "pydoc_data", "test", "this", "turtledemo"}
# numpydoc's headings, without those over mere links.
_SECTION = re.compile(r"^(?!See Also|References)([A-Z][A-Za-z ]{2,30})\n-{3,}[ \t]*(?:\n|\Z)", re.MULTILINE)
_PLACEHOLDER_LINE = re.compile(r"^[ \t]*(?:\$\{\w+\}|%\(\w+\)s)[ \t]*(?:\n|\Z)", re.MULTILINE)
_LONGEST_SIGNATURE = 400


def read_python(names: Iterable[str]) -> Reading:
    """One document for each docstring of a public module, class, function and method; its id is the qualified name.

    A definition has the shortest public name that leads to it: imports in ``__init__`` files, ``__all__`` and aliases
    are followed. Tests and private names are left out. Compiled modules are listed as skipped; where a package holds
    their docstrings in Python (numpy's ``add_newdoc``), those are read.

    Args:
        names: Import names; ``"stdlib"`` or nothing at all is the whole standard library.

    Raises:
        ReadError: No module of that name is installed.
    """
    wanted: list[str] = []
    for name in list(names) or [STDLIB]:
        is_all = name == STDLIB
        wanted += sorted(n for n in sys.stdlib_module_names - _NOT_LIBRARY if is_public(n)) if is_all else [name]
    collector = _Collector()
    for name in dict.fromkeys(wanted):
        if collector.library.spec(name) is None and collector.alias(name) is None:
            if name in sys.stdlib_module_names:  # msvcrt on Linux
                collector.skipped.append(Skipped(name, "not installed on this system", failed=False))
                continue
            raise ReadError(
                f"A Python package is named as it is imported; no module {name!r} is installed for {sys.executable!r}. "
                f"Check the spelling (sklearn, not scikit-learn), or install it."
            )
        collector.add(name)
    documents = collector.documents()
    return Reading(tuple(documents), tuple(collector.skipped))


class _Collector:
    """Public modules and names first, then their docstrings, so that each has its best name."""

    def __init__(self) -> None:
        self.library = Library()
        self.skipped: list[Skipped] = []
        self._resolver = Resolver(self.library)
        self._modules: dict[str, Module] = {}
        self._public: dict[int, Public] = {}
        self._titles: dict[tuple[str, str], str] = {}
        self._tops: list[str] = []

    def alias(self, name: str) -> Module | None:
        """The module that a dotted name stands for without being a submodule: os.path."""
        parent, _, last = name.rpartition(".")
        found = self._resolver.resolve(parent, last) if parent else None
        return found.module if found and found.node is None else None

    def add(self, name: str) -> None:
        """A module and all public modules under it."""
        self._tops.append(name)
        if self.library.spec(name) is None:
            aliased = self.alias(name)
            if aliased is not None:
                self._add_module(aliased, name)
            return
        self._add_tree(name)

    def _add_tree(self, name: str) -> None:
        try:
            self._add_module(self.library.load(name), name)
        except UnreadableError as error:
            spec = self.library.spec(name)
            if spec is None or spec.origin is not None or not spec.submodule_search_locations:
                self.skipped.append(Skipped(name, str(error), failed=not isinstance(error, AnotherKindError)))
        except OSError as error:
            self.skipped.append(Skipped(name, f"can't be opened: {error.strerror or error}"))
        for submodule, path in self.library.submodules(name):
            if is_public(path.name):
                self._add_tree(submodule)

    def _add_module(self, module: Module, title: str) -> None:
        self._modules.setdefault(title, module)
        for public in public_names(module, title, self._resolver):
            for step in public.found.steps:
                known = self._titles.setdefault(step, public.title)
                self._titles[step] = min(known, public.title, key=lambda text: (text.count("."), text))
            node, home = public.found.node, public.found.module
            if node is not None:
                best = min(self._public.get(id(node), public), public, key=_preference)
                self._public[id(node)] = best
            elif home is not None and not is_same_package(home.name, title) and public.title not in self._modules:
                self._add_module(home, public.title)  # os.path

    def documents(self) -> list[Document]:
        """All docstrings, sorted by name; of two under one name the longer."""
        found: dict[str, Document] = {}
        for document in [*self._from_source(), *self._from_newdocs()]:
            known = found.get(document.id)
            if known is None or len(known.text) < len(document.text):
                found[document.id] = document
        return [found[title] for title in sorted(found)]

    def _from_source(self) -> Iterator[Document]:
        for title, module in self._modules.items():
            yield from _document(title, module, module.tree)
        done: set[int] = set()
        for public in sorted(self._public.values(), key=lambda item: (item.title.count("."), item.title)):
            if public.found.node is not None and public.found.module is not None:
                yield from self._definition(public.title, public.found.module, public.found.node, done)

    def _definition(self, title: str, module: Module, node: Definition, done: set[int]) -> Iterator[Document]:
        if id(node) in done:
            return
        done.add(id(node))
        yield from _document(title, module, node)
        if isinstance(node, ast.ClassDef):
            for owner, member in self._members(module, node, set()):
                public = self._public.get(id(member))
                named = is_public(member.name) or member.name == "__init__"
                if named and (public is None or public.title == f"{title}.{member.name}"):
                    yield from self._definition(f"{title}.{member.name}", owner, member, done)

    def _members(self, module: Module, node: ast.ClassDef, seen: set[int]) -> Iterator[tuple[Module, Definition]]:
        """A class's own members and those of its private bases, which have no page of their own."""
        seen.add(id(node))
        names = set()
        for member in members(node):
            names.add(member.name)
            yield module, member
        for base in node.bases:
            if not isinstance(base, ast.Name):
                continue
            found = self._resolver.resolve(module.name, base.id)
            above, home = found.node, found.module
            if home is None or not is_same_package(home.name, module.name):
                continue
            if isinstance(above, ast.ClassDef) and id(above) not in self._public and id(above) not in seen:
                for owner, member in self._members(home, above, seen):
                    if member.name not in names:
                        names.add(member.name)
                        yield owner, member

    def _from_newdocs(self) -> Iterator[Document]:
        for top in self._tops:
            for module in modules_with_newdocs(top, self.library):
                for doc in newdocs(module):
                    package = doc.place.partition(".")[0]
                    # The object may be exported by another way than the module that it is said to be in.
                    owner = self._titles.get((doc.place, doc.name)) or self._titles.get((package, doc.name))
                    if owner is not None and is_public(doc.attribute or owner.rpartition(".")[2]):
                        title = f"{owner}.{doc.attribute}" if doc.attribute else owner
                        kind = "attribute" if doc.attribute else "compiled"
                        yield from _made(title, module, doc.text, kind, doc.line, doc.signature)


def _preference(public: Public) -> tuple[int, bool, str]:
    return public.title.count("."), not public.is_home, public.title


def _document(title: str, module: Module, node: ast.Module | Definition) -> Iterator[Document]:
    text = ast.get_docstring(node)
    if text is None:
        return
    if isinstance(node, ast.Module):
        yield from _made(title, module, text, "module", 1, None)
    else:
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        yield from _made(title, module, text, kind, node.lineno, _signature(node))


def _made(title: str, module: Module, text: str, kind: str, line: int, signature: str | None) -> Iterator[Document]:
    # A docstring template of which the package fills in such lines when it is imported.
    text = _PLACEHOLDER_LINE.sub("", text).encode("utf-8", "replace").decode().strip()
    if not text:
        return
    meta: dict[str, Any] = {
        "kind": kind,
        "module": module.name,
        "file_path": str(module.path),
        "file_name": module.path.name,
        "line": line,
    }
    if signature is not None:
        meta["signature"] = signature
    headings = [Heading(match.start(), match.end(), 1, match[1]) for match in _SECTION.finditer(text)]
    package = title.partition(".")[0]
    yield Document(text=text, id=title, title=title, meta=meta, source=f"python:{package}", headings=tuple(headings))


def _signature(node: Definition) -> str | None:
    """The parameters as the source writes them; those of ``__init__`` for a class."""
    function = node
    if isinstance(node, ast.ClassDef):
        function = next((member for member in members(node) if member.name == "__init__"), node)
    if not isinstance(function, FUNCTIONS):
        return None
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    signature = f"({ast.unparse(function.args)}){returns}"
    return signature if len(signature) <= _LONGEST_SIGNATURE else None
