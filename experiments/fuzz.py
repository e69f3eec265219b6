"""Damaged and random bytes through every parser of outside bytes: each may raise its declared error, and nothing else.

    python -m experiments.fuzz --count 1000000

Input number n of a target is a function of the seed, the target's name and n: a run can be cut into pieces
(``--first``) and every finding repeated (``--first n --count 1``). Target ``forged`` checks more: whatever is fed to an
established session is recorded or damaged, so nothing may be accepted.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments import fuzz_files, fuzz_network, fuzz_programs
from experiments.batch import Parser, command, natural
from experiments.fuzz_mutate import damaged
from experiments.fuzz_network import Target
from routing.errors import InputError
from routing.formats import without_notices

MOST_FINDINGS = 10  # of one target, which is then left
_SLOW_S = 1.0  # processor time of one input that is a finding, too: a parser must not be made to hang
_TELL_S = 10.0
_MEMORY = 4 << 30  # bytes of address space: what a few bytes make a parser allocate shows as a MemoryError


@dataclass
class Tally:
    """What came of a target's inputs.

    Attributes
    ----------
    accepted, refused : inputs without an error, and with the declared one
    slowest_s : processor time of the slowest input, in seconds
    findings : number of the input and what went wrong
    """

    target: str
    accepted: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    seconds: float = 0.0
    findings: list[tuple[int, str]] = field(default_factory=list)


def fuzz(target: Target, seed: int, first: int, count: int, *, tell: bool = False) -> Tally:
    """Feed inputs `first` to ``first + count - 1`` to a target."""
    for good in target.good if target.name != "forged" else ():
        target.parse(good)
    tally = Tally(target.name)
    began = told = time.process_time()
    for number in range(first, first + count):
        data = damaged(target.good, f"{seed}:{target.name}:{number}")
        before = time.process_time()
        try:
            target.parse(data)
            tally.accepted += 1
        except target.declared:
            tally.refused += 1
        except Exception as error:
            tally.findings.append((number, f"{type(error).__name__}: {error}"[:300]))
        now = time.process_time()
        tally.slowest_s = max(tally.slowest_s, now - before)
        if now - before > _SLOW_S:
            tally.findings.append((number, f"took {now - before:.1f} s"))
        if len(tally.findings) >= MOST_FINDINGS:
            break
        if tell and now - told > _TELL_S:
            told = now
            print(f"{target.name}: {number - first + 1} of {count}", file=sys.stderr, flush=True)
    tally.seconds = time.process_time() - began
    return tally


def all_targets(folder: Path) -> list[Target]:
    """Return every target; `folder` exists and takes the files of those that read files.

    Raises InputError if what certificates are made with is not installed.
    """
    try:
        from experiments import fuzz_stored
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed, expected it after scripts/setup broker") from error
    return [
        *fuzz_network.targets(),
        *fuzz_programs.targets(),
        *fuzz_files.targets(folder),
        *fuzz_stored.targets(folder),
    ]


def show(tally: Tally, seed: int) -> None:
    """Print a target's line, and how to repeat what was found."""
    total = tally.accepted + tally.refused + len(tally.findings)
    print(
        f"{tally.target:23} {total:8} inputs: {tally.refused} refused, {tally.accepted} accepted, "
        f"{len(tally.findings)} findings; {tally.seconds:.0f} s, slowest {1000 * tally.slowest_s:.0f} ms",
        flush=True,
    )
    for number, what in tally.findings:
        print(f"  {what}\n  again: python -m experiments.fuzz --seed {seed} --first {number} --count 1 {tally.target}")


def parser() -> Parser:
    """Return the command's arguments."""
    arguments = Parser(
        prog="python -m experiments.fuzz",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="exit codes: 0 nothing found; 1 something found; 2 bad input; 130, 143 interrupted.",
    )
    add = arguments.add_argument
    add("targets", nargs="*", metavar="TARGET", help="only these [all; --list names them]")
    add("--count", type=natural, default=10_000, metavar="N", help="inputs per target, at least 1 [10000]")
    add("--seed", type=natural, default=1, metavar="S", help="of the inputs [1]")
    add("--first", type=natural, default=0, metavar="N", help="number of the first input, to go on or repeat [0]")
    add("--json", action="store_true", help="print a JSON line for each target")
    add("--list", action="store_true", help="name the targets and stop")
    add("--print", action="store_true", dest="show_inputs", help="print the inputs instead of feeding them")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return command("fuzz", _main, argv, hint="")


def _main(argv: Sequence[str] | None) -> int:
    given = parser().parse_args(argv)
    if given.count < 1:
        raise InputError("--count 0, expected at least 1")
    memory = Path("/dev/shm")
    # Warnings about what was assumed for a damaged network would be a million.
    with without_notices(), tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        targets = {target.name: target for target in all_targets(Path(folder))}
        unknown = [name for name in given.targets if name not in targets]
        if unknown:
            raise InputError(f"no target {unknown[0]!r}, expected {', '.join(targets)}")
        if given.list:
            print("\n".join(targets))
            return 0
        found = False
        for name in given.targets or targets:
            if given.show_inputs:
                for number in range(given.first, given.first + given.count):
                    print(damaged(targets[name].good, f"{given.seed}:{name}:{number}"))
                continue
            tally = fuzz(targets[name], given.seed, given.first, given.count, tell=True)
            found |= bool(tally.findings)
            if given.json:
                print(json.dumps(asdict(tally)), flush=True)
            else:
                show(tally, given.seed)
    return int(found)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    sys.exit(main())
