"""The names under which users reach a definition: `numpy.clip`, not `numpy._core.fromnumeric.clip`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from bicross.readers.python_exports import exported
from bicross.readers.python_modules import FUNCTIONS, Definition, Library, Module, is_public, statements

PATH_MODULES = frozenset({"genericpath", "ntpath", "nturl2path", "posixpath"})
"""Public by name, but known to users as os.path."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for.

    Attributes:
        module: Where it is defined.
        node: Its definition, None where the name is a module itself.
        steps: Every (module, name) on the way, the first asked for first, those in compiled modules included.
    """

    module: Module | None
    node: Definition | None
    steps: tuple[tuple[str, str], ...]


class Resolver:
    """Follows imports and assignments to definitions."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._found: dict[tuple[str, str], Found] = {}

    def resolve(self, module_name: str, name: str) -> Found:
        """What ``module_name.name`` stands for. Cycles end in nothing."""
        key = (module_name, name)
        if key not in self._found:
            self._found[key] = Found(None, None, (key,))
            steps: tuple[tuple[str, str], ...] = (key,)
            for found in self._candidates(module_name, name):
                steps = tuple(dict.fromkeys((*steps, *found.steps)))
                if found.module is not None:
                    self._found[key] = Found(found.module, found.node, steps)
                    break
            else:
                self._found[key] = Found(None, None, steps)
        return self._found[key]

    def _candidates(self, module_name: str, name: str) -> Iterator[Found]:
        module = self.library.module(module_name)
        if module is None:
            return
        if name in module.definitions:
            yield Found(module, module.definitions[name], ())
        for source, original in module.imports.get(name, ()):
            if original is None:
                yield Found(self.library.module(source), None, ())
            else:
                yield self.resolve(source, original)
                yield Found(self.library.module(f"{source}.{original}"), None, ())
        if name in module.values:
            yield from self._assigned(module, module.values[name])
        for source in module.stars:
            other = self.library.module(source)
            names = exported(other, self.library) if other else None
            if name in names if names is not None else is_public(name):
                yield self.resolve(source, name)

    def _assigned(self, module: Module, value: ast.expr) -> Iterator[Found]:
        match value:
            case ast.Name(id=name):
                yield self.resolve(module.name, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                owner = self.resolve(module.name, name)
                if owner.module is not None and owner.node is None:
                    yield self.resolve(owner.module.name, attribute)
                # random.seed = _inst.seed, where _inst = Random()
                match module.values.get(name):
                    case ast.Call(func=ast.Name(id=kind)):
                        built = self.resolve(module.name, kind)
                        if built.module is not None and isinstance(built.node, ast.ClassDef):
                            method = next((m for m in members(built.node) if m.name == attribute), None)
                            yield Found(built.module if method else None, method, ())


def is_same_package(first: str, second: str) -> bool:
    """Whether two modules belong together: under one top-level name, or to a module and its private half.

    >>> is_same_package("decimal", "_pydecimal"), is_same_package("numpy.lib", "os")
    (True, False)
    """
    tops = [name.partition(".")[0].lstrip("_").removeprefix("py") for name in (first, second)]
    return tops[0] == tops[1]


def _is_foreign(home: str, importer: str) -> bool:
    """Whether what is exported is another package's own: numpy.testing.TestCase is unittest's."""
    top = home.partition(".")[0]
    return is_public(top) and top not in PATH_MODULES and not is_same_package(home, importer)


def members(node: ast.ClassDef) -> Iterator[Definition]:
    """The functions and classes in a class, each name once: a property's setter goes."""
    seen = set()
    for statement in statements(node.body):
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)) and statement.name not in seen:
            seen.add(statement.name)
            yield statement


@dataclass(frozen=True, slots=True)
class Public:
    """A public name.

    Attributes:
        title: The qualified name.
        found: What it stands for.
        is_home: Whether the title's module is the one that defines it.
    """

    title: str
    found: Found
    is_home: bool


def public_names(module: Module, title: str, resolver: Resolver) -> Iterator[Public]:
    """What a module offers: its ``__all__``, or its own public names, and what it has from private modules."""
    names = exported(module, resolver.library)
    if names is None:
        names = [name for name in (*module.definitions, *module.values) if is_public(name)]
    for name in dict.fromkeys([*names, *_from_private(module, resolver.library)]):
        found = resolver.resolve(module.name, name)
        is_module = found.module is not None and found.node is None
        if is_module and name not in names:  # what the private half imports for its own use
            continue
        if found.node is not None and found.module is not None and _is_foreign(found.module.name, module.name):
            continue
        home = found.module is not None and found.module.name == module.name
        yield Public(f"{title}.{name}", found, home)


def _from_private(module: Module, library: Library) -> Iterator[str]:
    """Names that an ``__init__`` takes from its package, and any module from its private half (decimal, _pydecimal)."""

    def is_offered(source: str) -> bool:
        is_half = not is_public(source) and is_same_package(source, module.name)
        is_private = any(not is_public(part) for part in source.split("."))
        return is_half or (is_private and module.is_package and is_same_package(source, module.name))

    for name, sources in module.imports.items():
        if is_public(name) and any(is_offered(source) for source, _ in sources):
            yield name
    for source in module.stars:
        other = library.module(source) if is_offered(source) else None
        if other is not None:
            yield from exported(other, library) or (name for name in other.definitions if is_public(name))
