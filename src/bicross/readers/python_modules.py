"""Python modules as their source says, without importing them: where they lie, what they define and export."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import TypeAlias

from bicross.readers.reading import AnotherKindError, UnreadableError

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_TESTS = frozenset({"test", "tests", "_test", "_tests", "conftest", "setup", "__main__"})


def is_public(name: str) -> bool:
    """Whether users may use a name."""
    return not name.startswith("_")


def is_test(name: str) -> bool:
    """Whether a module of this name serves tests, or is a program, so that nobody imports it for use."""
    return name in _TESTS or name.startswith("test_") or name.endswith("_test")


@dataclass(frozen=True, slots=True)
class Module:
    """A parsed module.

    Attributes:
        name: Its import name.
        path: Its file.
        tree: Its syntax tree.
        is_package: Whether it is an ``__init__.py``.
        definitions: Functions and classes at the top level, ``if`` and ``try`` included; the first of a name counts.
        values: What is assigned to a name, ``seed = _inst.seed``.
        imports: The sources of an imported name, (module, name) or (module, None) for a module itself. Several where
            ``try`` and ``except`` import it from different places.
        stars: Modules of which everything is imported.
        all_parts: The expressions that make up ``__all__``.
    """

    name: str
    path: Path
    tree: ast.Module
    is_package: bool
    definitions: dict[str, Definition] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    all_parts: list[ast.expr] = field(default_factory=list)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body and of the ``if``, ``try`` and ``with`` blocks in it."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from statements(statement.body)
        if isinstance(statement, ast.If | ast.Try):
            yield from statements(statement.orelse)
        if isinstance(statement, ast.Try):
            for handler in statement.handlers:
                yield from statements(handler.body)
            yield from statements(statement.finalbody)


def parse(name: str, path: Path) -> Module:
    """Read a module's names.

    Raises:
        UnreadableError: The file isn't valid Python of this version.
        OSError: It can't be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in an old docstring is no concern of the reader
            tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(f"not valid Python {sys.version_info[0]}.{sys.version_info[1]}: {error}") from None
    module = Module(name, path, tree, is_package=path.name == "__init__.py")
    for statement in statements(tree.body):
        _note(module, statement)
    return module


def _note(module: Module, statement: ast.stmt) -> None:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            module.definitions.setdefault(statement.name, statement)
        case ast.Import():
            for alias in statement.names:
                target = alias.name if alias.asname else alias.name.partition(".")[0]
                module.imports.setdefault(alias.asname or target, []).append((target, None))
        case ast.ImportFrom():
            source = _absolute(module, statement)
            for alias in statement.names:
                if alias.name == "*":
                    module.stars.append(source)
                else:
                    module.imports.setdefault(alias.asname or alias.name, []).append((source, alias.name))
        case ast.Assign(targets=targets, value=value):
            for node in targets:
                if isinstance(node, ast.Name):
                    module.values.setdefault(node.id, value)
        case ast.AnnAssign(target=ast.Name(id=variable), value=ast.expr() as value):
            module.values.setdefault(variable, value)
    _note_all(module, statement)


def _note_all(module: Module, statement: ast.stmt) -> None:
    """Follow what a module does to its ``__all__``."""
    match statement:
        case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
            module.all_parts[:] = [value]
        case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
            module.all_parts[:] = [value]
        case ast.AugAssign(target=ast.Name(id="__all__"), value=value):
            module.all_parts.append(value)
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="__all__"), attr=verb), args=[argument])):
            module.all_parts.append(ast.List([argument]) if verb == "append" else argument)


def _absolute(module: Module, statement: ast.ImportFrom) -> str:
    if not statement.level:
        return statement.module or ""
    package = module.name.split(".")
    package = package[: len(package) - statement.level + module.is_package]
    return ".".join([*package, *([statement.module] if statement.module else [])])


class Library:
    """The modules that this interpreter would import, parsed when they are asked for.

    Attributes:
        exports: What ``exported`` has found.
    """

    def __init__(self) -> None:
        self._modules: dict[str, Module | None] = {}
        self._specs: dict[str, ModuleSpec | None] = {}
        self.exports: dict[str, Sequence[str] | None] = {}

    def spec(self, name: str) -> ModuleSpec | None:
        """Where a module lies. Parents are found by path, so that no package runs."""
        if name not in self._specs:
            self._specs[name] = self._find(name)
        return self._specs[name]

    def _find(self, name: str) -> ModuleSpec | None:
        parent, _, _ = name.rpartition(".")
        if parent:
            above = self.spec(parent)
            locations = above.submodule_search_locations if above else None
            return _find_below(name, [Path(location) for location in locations or ()])
        # Files first: modules that are frozen into the interpreter, such as os, have their source beside the others.
        found = PathFinder.find_spec(name)
        finders = (finder.find_spec for finder in sys.meta_path)
        return found or next((spec for find in finders if (spec := find(name, None)) is not None), None)

    def module(self, name: str) -> Module | None:
        """A module by its name; None where there is none with a readable source."""
        if name not in self._modules:
            try:
                self._modules[name] = self.load(name)
            except (UnreadableError, OSError):
                self._modules[name] = None
        return self._modules[name]

    def load(self, name: str) -> Module:
        """As ``module``, but with the reason where it can't be read.

        Raises:
            UnreadableError: There is no such module, or no Python source of it.
            OSError: The file can't be opened.
        """
        spec = self.spec(name)
        if spec is None:
            raise UnreadableError("not found")
        if spec.origin is None:
            raise UnreadableError("a namespace package: it has no text of its own")
        path = Path(spec.origin)
        if path.suffix != ".py" or not path.is_file():
            raise AnotherKindError("compiled: it has no Python source to read docstrings from")
        loaded = self._modules.get(name) or parse(name, path)
        self._modules[name] = loaded
        return loaded

    def submodules(self, name: str) -> Iterator[tuple[str, Path]]:
        """Modules right under a package, tests left out, with their files; compiled ones included."""
        spec = self.spec(name)
        found: dict[str, Path] = {}
        for location in (spec.submodule_search_locations if spec else None) or ():
            folder = Path(location)
            for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
                stem = entry.name.partition(".")[0]
                if not stem.isidentifier() or stem == "__init__" or is_test(stem):
                    continue
                # A package goes before a module of the same name, as in an import.
                if entry.is_dir() and any(entry.glob("*.py")):
                    found[stem] = entry
                elif entry.suffix in {".py", ".so", ".pyd"}:
                    found.setdefault(stem, entry)
        for stem in sorted(found):
            yield f"{name}.{stem}", found[stem]


def _find_below(name: str, locations: Sequence[Path]) -> ModuleSpec | None:
    """A submodule by path. Python's own finder asks the loaded parent as soon as a folder has no ``__init__``."""
    last = name.rpartition(".")[2]
    for location in locations:
        folder = location / last
        if (folder / "__init__.py").is_file():
            return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])
        for suffix in (".py", *EXTENSION_SUFFIXES):
            if location.joinpath(last + suffix).is_file():
                return spec_from_file_location(name, location / (last + suffix))
    folders = [str(location / last) for location in locations if (location / last).is_dir()]
    if not folders:
        return None
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = folders
    return namespace
