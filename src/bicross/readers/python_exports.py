"""What a module's ``__all__`` holds, computed from its source."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from bicross.readers.python_modules import Library, Module


def exported(module: Module, library: Library) -> Sequence[str] | None:
    """``__all__`` as far as it can be computed from the source; None where there is none."""
    if module.name not in library.exports:
        library.exports[module.name] = None  # until it is known: two modules may take it from each other
        library.exports[module.name] = _exported(module, library)
    return library.exports[module.name]


def _exported(module: Module, library: Library) -> Sequence[str] | None:
    if module.all_parts:
        names: list[str] = []
        for part in module.all_parts:
            names += _strings(part, module, library, 0)
        return list(dict.fromkeys(names))
    for source, name in module.imports.get("__all__", ()):
        other = library.module(source)
        if name is not None and other is not None and other is not module:
            return exported(other, library)
    return None


def _strings(node: ast.expr, module: Module, library: Library, depth: int) -> list[str]:
    """The strings that an expression of lists, sums, sets and other modules' ``__all__`` holds."""
    if depth > 20:
        return []
    found: list[str] = []
    match node:
        case ast.Constant(value=str(text)):
            found = [text]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            for item in items:
                found += _strings(item.value if isinstance(item, ast.Starred) else item, module, library, depth + 1)
        case ast.BinOp(left=left, right=right, op=ast.Add() | ast.BitOr()):
            found = [*_strings(left, module, library, depth + 1), *_strings(right, module, library, depth + 1)]
        case ast.Call(func=ast.Name(id="list" | "set" | "sorted" | "tuple" | "frozenset"), args=[argument]):
            found = _strings(argument, module, library, depth + 1)
        case ast.Call(func=ast.Attribute(value=copied, attr="copy")):
            found = _strings(copied, module, library, depth + 1)
        case ast.Attribute(value=owner, attr="__all__"):
            other = _module_named(owner, module, library)
            found = [*(exported(other, library) or ())] if other is not None and other is not module else []
        case ast.Name(id=name) if name in module.values and name != "__all__":
            found = _strings(module.values[name], module, library, depth + 1)
    return found


def _module_named(node: ast.expr, module: Module, library: Library) -> Module | None:
    """The module that ``lib._shape_impl`` stands for inside another module."""
    match node:
        case ast.Name(id=alias):
            sources = module.imports.get(alias, ())
            named = (library.module(source if name is None else f"{source}.{name}") for source, name in sources)
            return next((other for other in named if other is not None), None)
        case ast.Attribute(value=owner, attr=attribute):
            parent = _module_named(owner, module, library)
            return library.module(f"{parent.name}.{attribute}") if parent else None
    return None
