"""What all tests share: tests that need root are left out, and named, for an ordinary user."""

import os
from pathlib import Path

import hypothesis
import pytest

# The first call of a kernel may compile it: a deadline would measure that.
hypothesis.settings.register_profile("lockstep", deadline=None)
hypothesis.settings.load_profile("lockstep")

EMULATION = Path(__file__).parent / "emulation"
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = []
    for item in items:
        if EMULATION in item.path.parents:
            item.add_marker("root")
        if os.geteuid() != 0 and item.get_closest_marker("root") is not None:
            left_out.append(item.nodeid)
            item.add_marker(pytest.mark.skip(reason="needs root"))
    config.stash[LEFT_OUT] = left_out


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, [])
    if left_out:
        terminalreporter.section(f"{len(left_out)} tests left out: they need root")
        for name in left_out:
            terminalreporter.line(name)
