"""Who may import whom: studies -> sweep -> vae and data_io, and only sweep knows optuna and mlflow."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "vae": {"optuna", "mlflow", "boto3", "data_io", "sweep", "studies"},
    "data_io": {"optuna", "mlflow", "vae", "sweep", "studies"},
    "studies": {"optuna", "mlflow"},
    "sweep": set(),
}


class Import(NamedTuple):
    package: str
    """First part of the imported name."""
    line: int
    function: str | None
    """The innermost function around it; None at a module's top, where it runs on import."""


def imports(tree: ast.AST, function: str | None = None) -> Iterator[Import]:
    """All imports of a module, lazy ones and those by name included; relative ones stay in the package."""
    for node in ast.iter_child_nodes(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            # The constant start of a name is enough: it holds the package.
            start = next(ast.walk(node.args[0])) if node.args else None
            start = start.values[0] if isinstance(start, ast.JoinedStr) else start
            names = [str(start.value)] if isinstance(start, ast.Constant) else []
        for name in names:
            yield Import(name.partition(".")[0], getattr(node, "lineno", 0), function)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports(node, getattr(node, "name", None) if inside else function)


def of_package(package: str) -> dict[Path, list[Import]]:
    paths = sorted((ROOT / package).rglob("*.py"))
    return {path: list(imports(ast.parse(path.read_text(encoding="utf-8")))) for path in paths}


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_no_arrow_points_the_other_way(package: str) -> None:
    modules = of_package(package)
    assert len(modules) > 1, f"{ROOT / package} holds no modules to read"
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line} imports {found.package}"
        for path, found_there in modules.items()
        for found in found_there
        if found.package in FORBIDDEN[package]
    ]
    assert wrong == []


def test_sweep_imports_studies_only_where_it_looks_for_them() -> None:
    found = [
        (path.name, one.function)
        for path, there in of_package("sweep").items()
        for one in there
        if one.package == "studies"
    ]
    assert all(function is not None for _, function in found), "a study is imported when it is asked for"
    assert len(set(found)) <= 1, "one function finds studies"


def test_each_package_is_reached_along_the_arrows() -> None:
    """The reader sees the arrows that do exist, so an empty answer above means something."""
    seen = {
        package: {one.package for there in of_package(package).values() for one in there}
        for package in FORBIDDEN
    }
    assert "sweep" in seen["studies"]
    assert {"vae", "data_io", "optuna", "mlflow"} <= seen["sweep"]
    assert {"vae", "torch"} <= seen["vae"]


@pytest.mark.parametrize(
    "code",
    [
        "import sweep",
        "import os, sweep.study as s",
        "from sweep import study",
        "from sweep.study import Study",
        "if True:\n    import sweep",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sweep.study import Study",
        "import importlib\nimportlib.import_module('sweep.study')",
        "from importlib import import_module\nimport_module(f'sweep.{1}')",
        "__import__('sweep')",
        "try:\n    pass\nfinally:\n    import sweep",
    ],
)
def test_an_import_is_seen_in_any_form(code: str) -> None:
    assert Import("sweep", code.count("\n") + 1, None) in list(imports(ast.parse(code)))
    lazy = "def find():\n" + "\n".join(f"    {line}" for line in code.splitlines())
    assert Import("sweep", code.count("\n") + 2, "find") in list(imports(ast.parse(lazy)))


@pytest.mark.parametrize(
    "code", ["from . import sweep", "import sweeping", "x = 'import sweep'", "import a.sweep"]
)
def test_what_only_looks_like_an_import_is_not_seen_as_one(code: str) -> None:
    assert "sweep" not in [one.package for one in imports(ast.parse(code))]
