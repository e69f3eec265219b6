"""The files of a run folder: what they hold, how they are written, and how they are read back.

A run folder must be enough to draw the report and to replay every decision, without the repository's topologies
or the machine that made it. Five files carry a run:

=================  =====================================================================================
``summary.json``   the outcome in one object (`Summary`), for people and for scripts
``inputs.npz``     network, traffic and weights, exact (`Inputs`)
``steps.jsonl``    one line per decision: step 1..T, the links whose weights changed, the MLU afterwards (`StepRow`)
``links.csv``      one row per directed link, in canonical order (`LinkRow`)
``manifest.json``  how the run was made: versions, seed, checkpoint, options (`Manifest`)
=================  =====================================================================================

Every file appears whole or not at all. Whatever was written can be read: writers check what they are about to
write and raise ValueError, which is our mistake; readers raise `InputError`, which is the file's.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from emulation.atomic import write_atomic
from emulation.inputs import INPUTS_FILE, Inputs, read_inputs
from emulation.records import LinkRow, Manifest, StepRow, Summary
from routing.errors import InputError

SUMMARY_FILE = "summary.json"
STEPS_FILE = "steps.jsonl"
LINKS_FILE = "links.csv"
MANIFEST_FILE = "manifest.json"
REPORT_FILE = "report.html"

Record = TypeVar("Record", Summary, Manifest)


@dataclass(frozen=True)
class Run:
    """Everything in a run folder, checked against each other."""

    summary: Summary
    inputs: Inputs
    steps: tuple[StepRow, ...]
    links: tuple[LinkRow, ...]
    manifest: Manifest


def to_json(record: Summary | Manifest) -> bytes:
    """Encode a record as indented JSON that the readers accept.

    Raises
    ------
    ValueError
        If a value is out of its range or not a finite number.
    """
    data = msgspec.json.encode(record)
    msgspec.json.decode(data, type=type(record))
    return msgspec.json.format(data, indent=2) + b"\n"


def write_summary(folder: Path, summary: Summary) -> None:
    """Write ``summary.json``; ValueError if a value is out of range."""
    write_atomic(folder / SUMMARY_FILE, to_json(summary))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``; ValueError if a value is out of range."""
    write_atomic(folder / MANIFEST_FILE, to_json(manifest))


def write_steps(folder: Path, links: Iterable[list[int]], mlu: Iterable[float]) -> None:
    """Write ``steps.jsonl`` from the links of steps 1..T and the MLU after each of them, ``(T,)``."""
    rows = [StepRow(n, chosen, float(u)) for n, (chosen, u) in enumerate(zip(links, mlu, strict=True), start=1)]
    lines = [msgspec.json.encode(row) for row in rows]
    for line in lines:
        msgspec.json.decode(line, type=StepRow)
    write_atomic(folder / STEPS_FILE, b"".join(line + b"\n" for line in lines))


def write_links(folder: Path, rows: Sequence[LinkRow]) -> None:
    """Write ``links.csv``, one row per link in canonical order; ValueError if a value is out of range."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(LinkRow.__struct_fields__)
    for row in (msgspec.convert(msgspec.structs.asdict(row), LinkRow) for row in rows):
        # repr is the shortest text that gives the same float back; whole numbers need no ".0".
        cells = (getattr(row, name) for name in LinkRow.__struct_fields__)
        writer.writerow(repr(cell).removesuffix(".0") if isinstance(cell, float) else cell for cell in cells)
    write_atomic(folder / LINKS_FILE, text.getvalue().encode())


def read_summary(folder: Path) -> Summary:
    """Read and validate ``summary.json``; `InputError` if it is not one."""
    return _read_json(folder / SUMMARY_FILE, Summary)


def read_manifest(folder: Path) -> Manifest:
    """Read and validate ``manifest.json``; `InputError` if it is not one."""
    return _read_json(folder / MANIFEST_FILE, Manifest)


def read_steps(folder: Path, num_links: int | None = None) -> tuple[StepRow, ...]:
    """Read ``steps.jsonl``: steps 1, 2, ... without a gap, link indices below `num_links`; else `InputError`."""
    path = folder / STEPS_FILE
    rows: list[StepRow] = []
    for number, line in enumerate(_read_bytes(path).splitlines(), start=1):
        try:
            row = msgspec.json.decode(line, type=StepRow)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            expected = f'{{"step":{number},"links":[INDEX],"mlu":FRACTION}}'
            raise InputError(f"{err}; expected {expected}", path, number) from err
        if row.step != number:
            raise InputError(f"step {row.step}, expected step {number}", path, number)
        if num_links is not None and max(row.links) >= num_links:
            raise InputError(f"link {max(row.links)}, expected an index below {num_links}", path, number)
        rows.append(row)
    return tuple(rows)


def read_links(folder: Path) -> tuple[LinkRow, ...]:
    """Read ``links.csv``: the columns of `LinkRow`, links 0, 1, ... in order; else `InputError`."""
    path = folder / LINKS_FILE
    try:
        text = _read_bytes(path).decode()
    except UnicodeDecodeError as err:
        raise InputError("not UTF-8 text", path) from err
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[LinkRow] = []
    try:
        if tuple(next(reader, ())) != LinkRow.__struct_fields__:
            raise InputError(f"expected the columns {','.join(LinkRow.__struct_fields__)}", path, 1)
        for cells in reader:
            if len(cells) != len(LinkRow.__struct_fields__):
                message = f"{len(cells)} columns, expected {len(LinkRow.__struct_fields__)}"
                raise InputError(message, path, reader.line_num)
            values = {name: cell or None for name, cell in zip(LinkRow.__struct_fields__, cells, strict=True)}
            row = msgspec.convert(values, LinkRow, strict=False)
            if row.link != len(rows):
                raise InputError(f"link {row.link}, expected link {len(rows)}", path, reader.line_num)
            rows.append(row)
    except (csv.Error, msgspec.ValidationError) as err:
        raise InputError(str(err), path, reader.line_num) from err
    return tuple(rows)


def read_run(folder: Path) -> Run:
    """Read a whole run folder and check that its files speak of the same network; else `InputError`."""
    summary, inputs, rows = read_summary(folder), read_inputs(folder), read_links(folder)
    if (summary.routers, summary.links) != (len(inputs.nodes), len(inputs.links)):
        found, size = f"{summary.routers} routers and {summary.links} links", (len(inputs.nodes), len(inputs.links))
        raise InputError(f"{found}, expected {size[0]} and {size[1]} as in {INPUTS_FILE}", folder / SUMMARY_FILE)
    expected = [(inputs.nodes[src], inputs.nodes[dst]) for src, dst in inputs.links.tolist()]
    if [(row.src, row.dst) for row in rows] != expected:
        raise InputError(f"expected the {len(expected)} links of {INPUTS_FILE}, in its order", folder / LINKS_FILE)
    return Run(summary, inputs, read_steps(folder, len(rows)), rows, read_manifest(folder))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise InputError(f"{err.strerror}; expected a file of a run folder", path) from err


def _read_json(path: Path, kind: type[Record]) -> Record:
    data = _read_bytes(path)
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as err:
        raise InputError(str(err), path, _line_of(data.decode(errors="replace"), str(err))) from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        found = re.search(r"\(byte (\d+)\)", str(err))
        end = int(found.group(1)) if found else len(data)
        raise InputError(f"{err}; expected a JSON object", path, data.count(b"\n", 0, end) + 1) from err


def _line_of(text: str, message: str) -> int | None:
    """Find the line of the value that msgspec complains of (``... at `$.mlu.before```), key by key."""
    found = re.search(r"at `\$\.?([^`]*)`", message)
    position = 0
    for key in re.findall(r"\w+", found.group(1)) if found else ():
        position = text.find(f'"{key}"', position)
        if position < 0:
            return None
    return text.count("\n", 0, position) + 1
