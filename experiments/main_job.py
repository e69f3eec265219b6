"""The main job, started by an experiment as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from emulation.records import Summary
from emulation.results import read_summary

_RUN = Path(__file__).resolve().parent.parent / "emulation" / "run.py"


class RunFailed(Exception):
    """The main job ended with an exit code other than 0; says which, and its last words."""


def run_main_job(arguments: Sequence[str], out: Path) -> Summary:
    """Run ``emulation/run.py`` once; return its summary.

    Parameters
    ----------
    arguments : of its command line, without ``--json`` and ``--out``
    out : the run folder, new or empty

    Raises
    ------
    RunFailed : it did not end well
    """
    command = [sys.executable, str(_RUN), *arguments, "--json", "--out", str(out)]
    nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=nowhere, stdout=nowhere, stderr=pipe) as job:
        try:
            _, said = job.communicate()
        except BaseException:
            job.terminate()  # not killed: it has folders to clear away
            job.wait()
            raise
    if job.returncode:
        raise RunFailed(f"exit code {job.returncode}: {said.strip()[-300:]}")
    return read_summary(out)
