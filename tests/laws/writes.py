"""Finds writes to tables by reading the code: SQL statements, COPY, and writes through Django's models."""

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.db.models import Model

from tests.processes import ROOT

SQL = re.compile(
    r"\b(?:INSERT INTO|(?<!FOR )(?<!KEY )(?<!DO )UPDATE|DELETE FROM|COPY|TRUNCATE|MERGE INTO)"
    r"(?: ONLY| TABLE)?\s+(?P<table>\{.*?\}|\w+)"
)
UPSERT = re.compile(r"\bDO UPDATE SET\b")
EXECUTING = {"execute", "executemany", "copy", "copy_expert", "mogrify"}
OF_MODELS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("create", "bulk_create", "get_or_create"), ("INSERT",)),
    "update_or_create": ("INSERT", "UPDATE"),
    "save": ("INSERT", "UPDATE"),
    **dict.fromkeys(("update", "bulk_update"), ("UPDATE",)),
    "delete": ("DELETE",),
}


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """Code that inserts, updates or deletes rows of a table; `table` is an expression if no literal names the table."""

    module: str
    line: int
    operation: str
    table: str


def list_modules(*packages: str) -> list[Path]:
    """List the packages' modules except migrations, which change existing rows only once."""
    paths = (path for package in packages for path in (ROOT / package).rglob("*.py"))
    return sorted(path for path in paths if "migrations" not in path.parts)


def list_writes(path: Path) -> set[Write]:
    """All writes of one module."""
    return set(list_writes_in(path.read_text(), str(path.relative_to(ROOT))))


def list_writes_in(code: str, module: str) -> Iterator[Write]:
    tree = ast.parse(code)
    models = dict(_find_models(tree))
    for text, line, is_executed in _list_texts(tree):
        for operation, table in _read_sql(text, is_executed=is_executed):
            yield Write(module, line, operation, table)
    for call, names in _list_calls(tree, {}):
        yield from _read_call(call, names, models, module)


def _list_calls(scope: ast.AST, outer: Mapping[str, ast.expr]) -> Iterator[tuple[ast.Call, Mapping[str, ast.expr]]]:
    """Yield the calls in a module or function, nested functions included, each with the meanings of its names."""
    nodes = list(_walk_scope(scope))
    names = {**outer, **_find_meanings(nodes)}
    for node in nodes:
        if isinstance(node, ast.Call):
            yield node, names
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node is not scope:
            yield from _list_calls(node, names)


def _walk_scope(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a module or function; a nested function is included, but its body is not."""
    pending = [scope]
    while pending:
        node = pending.pop(0)
        yield node
        if node is scope or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += ast.iter_child_nodes(node)


# --- SQL ------------------------------------------------------------------------------------------
def _list_texts(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Yield each string that is not a docstring, with its line and whether it is passed to the database here."""
    executed = {
        id(call.args[0])
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in EXECUTING
        if call.args
    }
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield _join(node), node.lineno, id(node) in executed
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value, node.lineno, id(node) in executed


def _join(node: ast.JoinedStr) -> str:
    return "".join(
        f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else str(getattr(part, "value", ""))
        for part in node.values
    )


def _read_sql(text: str, *, is_executed: bool) -> Iterator[tuple[str, str]]:
    """Yield operations and tables. Executed SQL may be lower case; in other strings only upper case counts."""
    for match in re.finditer(SQL.pattern, text, re.IGNORECASE if is_executed else 0):
        operation = match[0].split()[0].upper()
        yield {"COPY": "INSERT", "TRUNCATE": "DELETE"}.get(operation, operation), match["table"]
        if operation == "INSERT" and UPSERT.search(text):
            yield "UPDATE", match["table"]
    for function in re.findall(r"\bSELECT (etl_\w+)\(", text):
        yield "CALL", function


# --- models ---------------------------------------------------------------------------------------
def _find_models(tree: ast.AST) -> Iterator[tuple[str, type[Model]]]:
    """Yield the models that the module imports, with their names there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and "models" in (node.module or "").split("."):
            for alias in node.names:
                found = getattr(importlib.import_module(str(node.module)), alias.name, None)
                if isinstance(found, type) and issubclass(found, Model):
                    yield alias.asname or alias.name, found


def _find_meanings(nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """Map each name to the value assigned to it, or to its annotated type."""
    meanings: dict[str, ast.expr] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            meanings |= {name: node.value for target in node.targets for name in _list_names(target)}
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            meanings |= dict.fromkeys(_list_names(node.target), node.value)
        elif isinstance(node, ast.For | ast.comprehension):
            meanings |= dict.fromkeys(_list_names(node.target), node.iter)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            meanings[node.arg] = node.annotation
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            meanings[node.name] = node.returns
    return meanings


def _list_names(target: ast.expr) -> list[str]:
    """List the names that an assignment binds; an attribute or item binds none."""
    if isinstance(target, ast.Attribute | ast.Subscript):
        return []
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def _read_call(
    call: ast.Call, names: Mapping[str, ast.expr], models: Mapping[str, type[Model]], module: str
) -> Iterator[Write]:
    if isinstance(call.func, ast.Name) and call.func.id in ("copy_rows", "copy_lines"):
        table = call.args[1]
        shown = str(table.value) if isinstance(table, ast.Constant) else ast.unparse(table)
        yield Write(module, call.lineno, "INSERT", shown)
    if isinstance(call.func, ast.Attribute) and call.func.attr.removeprefix("a") in OF_MODELS:
        model = _find_model(call.func.value, names, models)
        table_name = model._meta.db_table if model is not None else ast.unparse(call.func.value)
        for operation in OF_MODELS[call.func.attr.removeprefix("a")]:
            yield Write(module, call.lineno, operation, table_name)


def _find_model(
    expression: ast.expr, names: Mapping[str, ast.expr], models: Mapping[str, type[Model]], depth: int = 0
) -> type[Model] | None:
    """Find the model at the root of a chain such as `waiting.filter(…)`, following variables to their values."""
    while isinstance(expression, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(expression, ast.Call) and ast.unparse(expression.func) == "apps.get_model":
            if not all(isinstance(argument, ast.Constant) for argument in expression.args):
                return None  # chosen at run time
            return apps.get_model(".".join(ast.literal_eval(argument) for argument in expression.args))
        if isinstance(expression, ast.Subscript) and ast.unparse(expression.value).endswith(("QuerySet", "type")):
            expression = expression.slice
        else:
            expression = expression.func if isinstance(expression, ast.Call) else expression.value
    if not isinstance(expression, ast.Name) or depth > len(names):
        return None
    if expression.id in models:
        return models[expression.id]
    return _find_model(names[expression.id], names, models, depth + 1) if expression.id in names else None
