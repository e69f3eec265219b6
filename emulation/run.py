#!/usr/bin/env python3
"""Start the main job with whatever Python is at hand: find the project's own environment and go on there.

This file has to parse on any Python since 2.7: no annotations, no f-strings.
"""
# ruff: noqa: UP031, RUF005

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(ENVIRONMENT, "bin", "python")


def enter_environment():
    # type: () -> None
    """Replace this process by the same command in the project's environment, unless it runs there already."""
    if os.path.realpath(sys.prefix) == os.path.realpath(ENVIRONMENT):
        return
    # Without pyvenv.cfg that Python would not find itself in the environment, and come here again and again.
    if not os.access(PYTHON, os.X_OK) or not os.path.exists(os.path.join(ENVIRONMENT, "pyvenv.cfg")):
        sys.stderr.write(
            "run.py: the project's environment %s is missing; make it with: %s emulation\n"
            % (ENVIRONMENT, os.path.join(ROOT, "scripts", "setup"))
        )
        sys.exit(2)
    sys.stdout.flush()
    os.execv(PYTHON, [PYTHON, os.path.abspath(__file__)] + sys.argv[1:])


def main():
    # type: () -> int
    """Run the main job and return its exit code."""
    enter_environment()
    # The folder of a script comes first by default; its modules would hide others of the same name.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [ROOT] + [folder for folder in sys.path if os.path.abspath(folder) != here]
    from emulation.main import main as run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
