"""Imports go down the list of layers only."""

import ast
import subprocess
import sys
from pathlib import Path

import trimtab

ROOT = Path(trimtab.__file__).parent
LAYERS = [
    {"cli", "web", "__main__"},
    {"report"},
    {"run"},
    {"governance"},
    {"mechanisms"},
    {"training"},
    {"probes", "screens"},
    {"charter", "suites"},
    {"models"},
    {"records", "engine"},
    {"statistics"},
    {"errors"},
]
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trimtab."):
            names.add((node.module or "").split(".")[1])
    return names


def test_imports_go_down_only() -> None:
    wrong = []
    for path in ROOT.rglob("*.py"):
        own = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if own in RANK:
            wrong += [f"{path.relative_to(ROOT)} imports {n}" for n in imported(path) if RANK[n] < RANK[own]]
    assert not wrong


def test_every_module_has_a_layer() -> None:
    found = {p.relative_to(ROOT).parts[0].removesuffix(".py") for p in ROOT.rglob("*.py")}
    assert found - {"__init__"} <= set(RANK)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from trimtab.cli.app import app; print([m for m in ('torch', 'daft', 'numpy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
