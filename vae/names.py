"""Things that a setting selects by name: each kind is a folder, each thing a module in it.

To add a thing, add its file: it is known by the file's name from then on. What its module must define, and
what it must keep, is said in the docstring of the folder's `__init__.py`.
"""

import ast
import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Any


class Registry:
    """The things of one kind, which are the modules of the package `package`.

    defines: what each module must define at its top level.

    Their names, and what their modules assign as literals, are known without importing any of them, so that
    a command line can check a user's settings at once.
    """

    def __init__(self, package: str, *defines: str) -> None:
        self.package, self.defines = package, defines
        self._sources: dict[str, ast.Module] = {}

    @cached_property
    def _folders(self) -> list[Path]:
        root, *parts = self.package.split(".")
        spec = importlib.util.find_spec(root)
        roots = (spec.submodule_search_locations if spec else None) or []
        return [Path(folder).joinpath(*parts) for folder in roots]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Sorted. A module whose name starts with an underscore is a helper, not a thing of the kind."""
        found = pkgutil.iter_modules([str(folder) for folder in self._folders])
        modules = (module.name for module in found if not module.ispkg)
        return tuple(sorted(name for name in modules if not name.startswith("_")))

    def check(self, name: str) -> str:
        """The name itself, if there is such a thing: a validator for a setting.

        Raises:
            ValueError: there is none (the message proposes the nearest name), or its module is not whole.
        """
        if name not in self.names:
            raise ValueError(f"there is no {name!r}; {nearest(name, self.names)}")
        missing = set(self.defines) - _defined(self._source(name)) if self.defines else set()
        if missing:
            raise ValueError(
                f"{self._path(name)} does not define {' or '.join(sorted(missing))}: "
                f"the docstring of {self.package} says what it must"
            )
        return name

    def _path(self, name: str) -> Path:
        return next(path for folder in self._folders if (path := folder / f"{name}.py").exists())

    def _source(self, name: str) -> ast.Module:
        """Raises ValueError where the module is not Python."""
        if name not in self._sources:
            path = self._path(name)
            try:
                self._sources[name] = ast.parse(path.read_text(encoding="utf-8"))
            except SyntaxError as error:
                raise ValueError(f"{path} is not Python: line {error.lineno}, {error.msg}") from error
        return self._sources[name]

    def load(self, name: str) -> Any:
        """The module of that name. Typed loosely, because each kind's modules define something else.

        Raises:
            ValueError: there is none.
        """
        return importlib.import_module(f"{self.package}.{self.check(name)}")

    def literal(self, name: str, constant: str) -> Any:
        """What that module assigns to `constant`, read from its source without importing it; None if nothing.

        Raises:
            ValueError: there is no such module, or it computes the constant rather than writing it out.
        """
        self.check(name)
        for node in self._source(name).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            if constant not in map(ast.unparse, targets):
                continue
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            try:
                return None if node.value is None else ast.literal_eval(node.value)
            except ValueError as error:
                where = self._path(name)
                raise ValueError(f"{where}: {constant} must be written out as a literal") from error
        return None


def _defined(module: ast.Module) -> set[str]:
    """Names that a module's top level defines, assigns or imports."""
    names = set()
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            leaves = (leaf for target in targets for leaf in ast.walk(target))
            names |= {leaf.id for leaf in leaves if isinstance(leaf, ast.Name)}
    return names


CLIPPING = Registry("vae.optim.clipping", "Policy")
CONTROLLERS = Registry("vae.optim.controllers", "Policy")
OPTIMIZERS = Registry("vae.optim.optimizers", "build")
LR_SCHEDULES = Registry("vae.optim.lr_schedules", "factor")
KL_SCHEDULES = Registry("vae.loss.kl_schedules", "factor", "warmup_fraction")
KL_RULES = Registry("vae.loss.kl_rules", "penalty")
LIKELIHOODS = Registry("vae.loss.likelihoods", "build")
METRICS = Registry("vae.quality.metrics", "METRIC")


def nearest(name: str, names: Collection[str]) -> str:
    """The known names as text, preceded by the nearest to `name` if one is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    known = f"known: {', '.join(sorted(names))}"
    return f"did you mean {close[0]!r}? ({known})" if close else known
