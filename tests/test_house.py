"""The house rules: imports point down, protocols do no I/O, an agent needs no torch, the packaging tells the truth."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Folder -> what it may import. Agent and trainer share a floor, and so do policy and baselines: neither sees the other.
BELOW = {
    "routing": set(),
    "policy": {"routing"},
    "baselines": {"routing"},
    "agent": {"routing", "policy"},
    "trainer": {"routing", "policy", "baselines"},
    "coordinator": {"routing", "policy", "agent"},
    "emulation": {"routing", "policy", "baselines", "agent", "trainer", "coordinator"},
    "experiments": {"routing", "policy", "baselines", "agent", "trainer", "coordinator", "emulation"},
}
# Modules that touch the world; every other module of agent and coordinator is sans-IO.
ADAPTERS = {
    "agent": {"__main__", "credentials", "frr", "kernel", "mqtt", "ospf", "program", "statefile", "udp", "watch"},
    "coordinator": {"__main__", "broker", "keygen", "mqtt"},
    "routing": {"prebuild"},  # runs the linker
}
WORLD = {
    "asyncio",
    "socket",
    "select",
    "selectors",
    "ssl",
    "subprocess",
    "threading",
    "multiprocessing",
    "aiomqtt",
    "uvloop",
}
CLOCK_AND_CHANCE = {"time", "random", "secrets", "uuid", "os.urandom", "numpy.random", "datetime.datetime.now"}
MAX_LINES = 300
# Which parts of pyproject a folder may count on; scripts/run installs no more than "emulation".
PARTS = {
    "routing": ["baselines"],  # topohub, and that only for a network of such a name
    "policy": [],
    "baselines": ["baselines"],
    "agent": [],
    "coordinator": ["broker"],
    "trainer": ["cluster", "train"],
    "emulation": ["emulation"],
    "experiments": ["baselines", "broker", "emulation", "experiments", "train"],
}
EXTRAS = PYPROJECT["project"]["optional-dependencies"]

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def uses(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Dotted names that a module imports or reaches through an imported name, with their lines."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            source = node.module or "" if node.level == 0 else f"{package}.{node.module or ''}".rstrip(".")
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{source}.{alias.name}"
                yield f"{source}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args:
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            name = node.args[0]
            if called in ("__import__", "import_module") and isinstance(name, ast.Constant):
                yield str(name.value), node.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = [node.attr]
            value = node.value
            while isinstance(value, ast.Attribute):
                parts.append(value.attr)
                value = value.value
            if isinstance(value, ast.Name) and value.id in bound:
                yield ".".join([bound[value.id], *reversed(parts)]), node.lineno


def imports_of(path: Path) -> list[tuple[str, int]]:
    return list(uses(ast.parse(path.read_text(), path.name), path.relative_to(ROOT).parts[0]))


def within(name: str, forbidden: set[str]) -> bool:
    return any(name == entry or name.startswith(entry + ".") for entry in forbidden)


def forbidden_in(path: Path) -> set[str]:
    package = path.relative_to(ROOT).parts[0]
    if path.stem in ADAPTERS.get(package, ()):
        return set()
    if package in ("routing", "policy", "baselines"):
        return WORLD - {"multiprocessing"} | {"random", "secrets", "os.urandom"}
    if package in ADAPTERS:
        return WORLD | CLOCK_AND_CHANCE
    return set()


def imported_after(module: str) -> set[str]:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_imports_point_down(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    up = [
        f"{module_id(path)}:{line}: {package} must not import {name}"
        for name, line in imports_of(path)
        if name.partition(".")[0] in BELOW.keys() - BELOW[package] - {package}
    ]
    assert not up, "\n".join(up)


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_only_adapters_touch_the_world(path: Path) -> None:
    forbidden = forbidden_in(path)
    found = [f"{module_id(path)}:{line}: {name}" for name, line in imports_of(path) if within(name, forbidden)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{module_id(path)} has {lines} lines, at most {MAX_LINES}: split it by idea"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import asyncio", "asyncio"),
        ("import socket as s", "socket"),
        ("from time import monotonic", "time"),
        ("import os\ndef f():\n    return os.urandom(8)", "os.urandom"),
        ("from os import urandom", "os.urandom"),
        ("import numpy as np\nx = np.random.default_rng(1)", "numpy.random"),
        ("import datetime\nx = datetime.datetime.now()", "datetime.datetime.now"),
        ("import importlib\nx = importlib.import_module('random')", "random"),
    ],
)
def test_the_walk_sees_every_way_in(source: str, name: str) -> None:
    assert any(within(found, {name}) for found, _ in uses(ast.parse(source), "agent"))


def test_the_walk_resolves_relative_imports() -> None:
    assert ("agent.udp.open", 1) in uses(ast.parse("from .udp import open"), "agent")


@pytest.mark.parametrize(
    "module", ["agent.__main__", "coordinator.__main__", "emulation.run", "emulation.main", "policy.episode"]
)
def test_programs_start_without_torch(module: str) -> None:
    if not ROOT.joinpath(*module.split(".")).with_suffix(".py").exists():
        pytest.skip(f"no {module} yet")
    assert "torch" not in imported_after(module)


def test_packages_are_listed() -> None:
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == PACKAGES
    assert sorted(PYPROJECT["tool"]["mypy"]["packages"]) == PACKAGES
    assert set(PACKAGES) <= BELOW.keys()
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]


def test_adapters_exist() -> None:
    listed = {ROOT / package / f"{stem}.py" for package, stems in ADAPTERS.items() for stem in stems}
    assert not {module_id(path) for path in listed if path.parent.exists() and not path.exists()}


def declared(package: str) -> set[str]:
    lines = PYPROJECT["project"]["dependencies"] + [line for part in PARTS[package] for line in EXTRAS[part]]
    return {canonicalize_name(Requirement(line).name) for line in lines}


@pytest.mark.parametrize("package", PACKAGES)
def test_imported_libraries_are_declared(package: str) -> None:
    distributions = packages_distributions()
    undeclared = set()
    for path in (ROOT / package).rglob("*.py"):
        for name, line in imports_of(path):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in BELOW:
                continue
            if not {canonicalize_name(owner) for owner in distributions.get(top, [])} & declared(package):
                undeclared.add(f"{module_id(path)}:{line}: {top}")
    assert not undeclared, "\n".join(sorted(undeclared))


def test_constraints_pin_every_dependency() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pins = [Requirement(line) for line in lines]
    assert all([clause.operator for clause in pin.specifier] == ["=="] for pin in pins)
    pinned: dict[str, Any] = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}
    wanted = [Requirement(line) for line in [*PYPROJECT["project"]["dependencies"], *chain(*EXTRAS.values())]]
    outside = [str(need) for need in wanted if not need.specifier.contains(pinned[canonicalize_name(need.name)])]
    assert not outside


def test_main_job_parses_on_an_old_python() -> None:
    """Whatever `python` is, it must get as far as re-executing in the project's environment or naming what makes it."""
    path = ROOT / "emulation" / "run.py"
    if not path.exists():
        pytest.skip("no emulation/run.py yet")
    tree = ast.parse(path.read_text(), path.name, feature_version=(3, 5))
    late = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    late += [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert not late, f"emulation/run.py: f-strings or __future__ imports on lines {late}"
