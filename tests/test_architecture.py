"""The direction of the imports, read from the source: the design's layers, and what must never load torch."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOUNDATION = {
    "chain_core.config", "chain_core.presets", "chain_core.registry", "chain_core.errors",
    "chain_core.messages", "chain_core.paths",
}  # fmt: skip
DATA_VALUES = {"chain_core.data.schema", "chain_core.data.encode"}
"""Modules of data that hold plain values (tasks, encoded rows): modeling may import them."""
ALLOWED = {
    "data": set(),
    "modeling": set(),
    "reports": {"data", "modeling"},
    "training": {"data", "modeling", "reports"},
    "services": {"data", "modeling", "reports", "training"},
    "cli": {"data", "modeling", "reports", "training", "services"},
    "ui": {"data", "modeling", "reports", "services", "cli"},
    "pages": {"data", "modeling", "reports", "services", "ui"},
}
"""layer -> the layers it may import, besides itself and the foundation."""
TORCH_FREE_LAYERS = {"foundation", "data", "reports", "ui", "pages"}
TORCH_FREE = {
    "chain_core.modeling.backbones.catalogue",
    "chain_core.modeling.plan",
    "chain_core.modeling.reads",
    "chain_core.modeling.team",
    "chain_core.services.drafts.checks",
    "chain_core.services.rows.idle",
}
TORCH = ("torch", "transformers", "peft", "safetensors.torch", "accelerate")


def list_sources() -> list[Path]:
    return sorted([ROOT / "app.py", *(ROOT / "pages").glob("*.py"), *(ROOT / "chain_core").rglob("*.py")])


def name_module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_module(path): path for path in list_sources()}


def name_layer(module: str) -> str:
    if module == "app" or module.startswith("pages"):
        return "pages"
    if module in ("chain_core", *FOUNDATION) or module.startswith(("chain_core.config.", "chain_core.storage")):
        return "foundation"
    part = module.split(".")[1]
    return "cli" if part == "__main__" else part


@cache
def read_imports(module: str, *, top_level: bool = False) -> frozenset[str]:
    """Names that a module imports; `from package import module` gives the module. Type-only imports: none."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide their direction"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else str(node.module))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending.extend(node.orelse)
        elif not (top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))
    return frozenset(found)


def list_own_imports(module: str, **options: bool) -> list[str]:
    return sorted(name for name in read_imports(module, **options) if name.startswith(("chain_core", "pages", "app")))


def list_reached(module: str) -> set[str]:
    """Every module that importing `module` loads of this project, packages' __init__ included."""
    reached: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in reached or name not in MODULES:
            continue
        reached.add(name)
        parents = [name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)]
        pending += [*list_own_imports(name, top_level=True), *parents]
    return reached


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    layer = name_layer(module)
    for imported in list_own_imports(module):
        target = name_layer(imported)
        if target in (layer, "foundation"):
            continue
        if layer == "modeling" and imported in DATA_VALUES:
            continue
        assert layer != "foundation", f"{module} stands below everything and imports {imported}"
        assert target in ALLOWED[layer], f"{module} ({layer}) imports {imported} ({target})"


@pytest.mark.parametrize("module", MODULES)
def test_streamlit_stays_in_the_interface(module: str) -> None:
    uses = any(name.split(".")[0] == "streamlit" for name in read_imports(module))
    assert not uses or name_layer(module) in ("ui", "pages")


def test_no_circles() -> None:
    graph = {module: set(list_own_imports(module)) & set(MODULES) - {module} for module in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for imported in graph[module]:
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize(
    "module", [name for name in MODULES if name_layer(name) in TORCH_FREE_LAYERS or name in TORCH_FREE]
)
def test_the_interface_never_loads_torch(module: str) -> None:
    for reached in list_reached(module):
        heavy = [name for name in read_imports(reached, top_level=True) if name.startswith(TORCH)]
        assert not heavy, f"{module} loads {reached}, which imports {heavy}"


def test_loading_the_interface_leaves_torch_alone() -> None:
    """The same, seen from outside: a process that imports every module of the screens has no torch."""
    import subprocess

    names = [module for module in MODULES if name_layer(module) == "ui"]
    code = f"import sys\nfor name in {names!r}: __import__(name)\nsys.exit('torch' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr or "torch was imported"


def test_files_stay_readable() -> None:
    """A file of much more than 300 lines usually hides two."""
    long = {name: lines for name, path in MODULES.items() if (lines := len(path.read_text().splitlines())) > 500}
    assert not long
