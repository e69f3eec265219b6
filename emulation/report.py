"""The report of a run: one self-contained page that shows what changed and what it cost.

``python -m emulation.report RUN_DIR`` draws it again from the files of the run folder. The page loads nothing, runs no
script, follows the reader's light or dark setting, and prints.
"""

import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from emulation.atomic import write_atomic
from emulation.figures import MAX_ROWS, draw_bytes, draw_steps, draw_utilization
from emulation.netmap import MapData, draw_maps, save_map
from emulation.outcome import computing_words, failure_words, mqtt_words
from emulation.overheadmap import draw_overhead
from emulation.records import Level, LinkRow, Summary
from emulation.report_style import STYLE
from emulation.results import REPORT_FILE, Run, read_run
from routing.errors import InputError

__all__ = ["MapData", "main", "map_data", "render_report", "save_map", "write_report"]

_MISSING = "–"


def write_report(run_dir: Path) -> Path:
    """Draw ``report.html`` from the files of a run folder and return its path; `InputError` if a file is damaged."""
    path = run_dir / REPORT_FILE
    write_atomic(path, render_report(read_run(run_dir)).encode())
    return path


def map_data(run: Run) -> MapData:
    """Return what the map of a run shows: measured utilization where every link was measured, else the model's."""
    rows = run.links
    before = [row.utilization_before_measured for row in rows]
    after = [row.utilization_after_measured for row in rows]
    measured = None not in before and None not in after
    if not measured:
        before = [row.utilization_before_predicted for row in rows]
        after = [row.utilization_after_predicted for row in rows]
    return MapData(
        nodes=run.inputs.nodes,
        positions=run.inputs.positions,
        links=run.inputs.links,
        before=np.array(before, dtype=np.float64),
        after=np.array(after, dtype=np.float64),
        weight_before=np.array([row.weight_live for row in rows], dtype=np.int64),
        weight_after=np.array([row.weight_after for row in rows], dtype=np.int64),
        geographic=run.inputs.geographic,
        source="measured" if measured else "predicted",
    )


def render_report(run: Run) -> str:
    """Return the page."""
    summary, rows = run.summary, run.links
    start = None if summary.mlu.start is None else summary.mlu.start.predicted
    chart = draw_steps(
        [row.mlu for row in run.steps],
        summary.mlu.before.predicted,
        start,
        summary.best_step,
        [", ".join(rows[link].name for link in row.links) for row in run.steps],
    )
    worst = sorted(rows, key=lambda row: -row.utilization_before_predicted)
    most = f"The {MAX_ROWS} most loaded of {len(rows)} links. " if len(worst) > MAX_ROWS else ""
    sections = [
        _section("The network", draw_maps(map_data(run)), "The number on each map is its most loaded link."),
        _section("MLU per step", chart, _steps_caption(summary)),
        _section("Utilization per link", draw_utilization(rows), most + "Sorted by predicted utilization before."),
        _section("What the agents sent", _bytes_figure(run), _overhead_caption(summary, rows)),
        _section("All links", _links_table(rows), ""),
        _section("How the run was made", _manifest_table(run), ""),
    ]
    heading = f"{summary.topology}: MLU {summary.mlu.before.predicted:.3f} → {summary.mlu.after.predicted:.3f}"
    return _PAGE.format(title=escape(heading), style=STYLE, header=_header(summary), sections="\n".join(sections))


def _header(summary: Summary) -> str:
    """Return the headline: what happened, before and after, and the facts of the run in one line each."""
    mlu = summary.mlu
    cards = [_mlu_card("MLU measured", mlu.before, mlu.after, "measured")] if mlu.after.measured is not None else []
    cards.append(_mlu_card("MLU predicted", mlu.before, mlu.after, "predicted"))
    facts = {
        "Network": f"{summary.topology}, {summary.routers} routers, {summary.links} links, on {summary.fabric}",
        "Traffic": summary.traffic + ("" if summary.load is None else f", load {summary.load:g}"),
        "Episode": f"{_steps(summary)} from {summary.initial}, seed {summary.seed}",
        "Agreement": f"{summary.agreement.routers} of {summary.routers} routers, digest {_digest(summary)}",
        "OSPF": _ospf(summary),
        "Time": _times(summary),
    }
    if summary.computing is not None:
        facts["Agents"] = computing_words(summary.computing)
    if summary.failure is not None:
        facts["Failure"] = failure_words(summary.failure)
    listed = "".join(f"<div><dt>{key}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return (
        f'<p class="kicker">Lockstep · {escape(summary.topology)}</p>'
        f'<h1><span class="status {summary.status}">{summary.status}</span> {escape(summary.reason)}</h1>'
        f'<div class="cards">{"".join(cards)}</div><dl class="facts">{listed}</dl>'
    )


def _mlu_card(caption: str, before: Level, after: Level, which: str) -> str:
    old, new = getattr(before, which), getattr(after, which)
    change = f"{new / old - 1:+.1%}".replace("-", "−") if old and new is not None else _MISSING
    numbers = (
        f'<span class="old">{_number(old)}</span><span class="arrow">→</span><span class="new">{_number(new)}</span>'
    )
    change = "unchanged" if old == new else change
    return f'<div class="card"><h2>{caption}</h2><p>{numbers}<span class="change">{change}</span></p></div>'


def _number(value: float | None, digits: int = 3) -> str:
    return _MISSING if value is None else f"{value:.{digits}f}"


def _digest(summary: Summary) -> str:
    return _MISSING if summary.agreement.digest is None else summary.agreement.digest[:16]


def _ospf(summary: Summary) -> str:
    ospf = summary.ospf
    words = [f"{ospf.costs_changed} of {summary.links} costs changed"]
    if ospf.lsdb_verified is not None:
        words.append("LSDB verified" if ospf.lsdb_verified else "LSDB differs")
    if ospf.routes_verified is not None:
        words.append(f"{ospf.routes_verified[0]} of {ospf.routes_verified[1]} kernel routes as predicted")
    return ", ".join(words)


def _steps(summary: Summary) -> str:
    early = summary.status != "aborted" and summary.planned is not None and summary.steps < summary.planned
    return f"{summary.steps} of {summary.planned} steps" if early else f"{summary.steps} steps"


def _times(summary: Summary) -> str:
    times = summary.time_s
    phases = (
        ("bring-up", times.bring_up),
        ("episode", times.episode),
        ("commit", times.commit),
        ("total", times.total),
    )
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases if seconds is not None)


def _steps_caption(summary: Summary) -> str:
    at = "at the start" if summary.best_step == 0 else f"after step {summary.best_step} of {summary.steps}"
    return f"Thin: after each step. Bold: the best so far; the lowest was reached {at}."


def _bytes_figure(run: Run) -> str:
    if all(row.bytes is None for row in run.links):
        return "<p>The agents' frames were not counted in this run.</p>"
    return draw_overhead(map_data(run), run.links) + draw_bytes(run.links)


def _overhead_caption(summary: Summary, rows: Sequence[LinkRow]) -> str:
    """Say the means per link, how well the kernel's counters agree with the agents' own, and what MQTT took."""
    cost = summary.overhead
    told = mqtt_words(cost)
    control = "" if told is None else f"Over MQTT, between coordinator and agents: {told}."
    if cost.frames_per_link is None or cost.bytes_per_link is None:
        return control
    words = f"Mean per link for the whole optimisation: {cost.frames_per_link:,.0f} frames, "
    words += f"{_kilobytes(cost.bytes_per_link)} of UDP payload (hidden states "
    words += f"{_kilobytes(cost.hidden_state_bytes_per_link)}, sharing {_kilobytes(cost.sharing_bytes_per_link)}, "
    words += f"control {_kilobytes(cost.control_bytes_per_link)}), {_kilobytes(cost.wire_bytes_per_link)} on the wire."
    counted = [(row.kernel_frames, row.frames) for row in rows if row.kernel_frames is not None and row.frames]
    if counted:
        kernel, agents = (sum(numbers) for numbers in zip(*counted, strict=True))
        words += f" Kernel counters saw {kernel / agents:.2%} of the frames that the agents counted."
    return f"{words} {control}".rstrip()


def _kilobytes(amount: float | None) -> str:
    return _MISSING if amount is None else f"{amount / 1000:,.1f} kB"


_GROUPS = (
    ("link", ("",)),
    ("capacity", ("Mbit/s",)),
    ("weight", ("",)),
    ("utilization before", ("predicted", "measured")),
    ("utilization after", ("predicted", "measured")),
    ("sent by the agents", ("frames", "bytes", "hidden", "sharing", "control", "wire")),
    ("kernel counters", ("frames", "bytes")),
)


def _links_table(rows: Iterable[LinkRow]) -> str:
    groups = "".join(f'<th scope="colgroup" colspan="{len(names)}">{group}</th>' for group, names in _GROUPS)
    columns = "".join(f'<th scope="col">{name}</th>' for _, names in _GROUPS for name in names)
    head = f"<thead><tr>{groups}</tr><tr>{columns}</tr></thead>"
    body = "\n".join(_link_row(row) for row in rows)
    return f'<div class="scroll"><table class="links">{head}\n<tbody>{body}</tbody></table></div>'


def _link_row(row: LinkRow) -> str:
    changed = row.weight_live != row.weight_after
    weight = f"<b>{row.weight_live} → {row.weight_after}</b>" if changed else f"{row.weight_live}"
    cells = [f"{row.capacity_bps / 1e6:g}", weight]
    for used in (
        row.utilization_before_predicted,
        row.utilization_before_measured,
        row.utilization_after_predicted,
        row.utilization_after_measured,
    ):
        share = _MISSING if used is None else f"{used:.1%}"
        cells.append(f'<span class="over-text">{share}</span>' if used is not None and used > 1.0 else share)
    counts = (
        row.frames,
        row.bytes,
        row.hidden_state_bytes,
        row.sharing_bytes,
        row.control_bytes,
        row.wire_bytes,
        row.kernel_frames,
        row.kernel_bytes,
    )
    cells += [_MISSING if count is None else f"{count:,}" for count in counts]
    name = escape(f"{row.src} → {row.dst}")
    return f'<tr><th scope="row">{name}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _manifest_table(run: Run) -> str:
    made = run.manifest
    facts = {
        "started": made.started,
        "command": " ".join(made.command),
        "versions": ", ".join(f"{name} {version}" for name, version in made.versions.items()),
        "topology": f"{made.topology}, digest {made.topology_digest}",
        "checkpoint": f"{made.checkpoint}, {made.checkpoint_hash}",
        "decisions": f"seed {made.seed}, episode {made.episode}, {made.steps} steps, temperature {made.temperature:g}, "
        + (f"patience {made.patience}, " if made.patience else "")
        + f"sharing {made.share}, commit margin {made.margin:.1%}, "
        + ("ECMP" if made.ecmp else "one next hop"),
        "agreement": f"{run.summary.agreement.digest or _MISSING}",
    }
    rows = "".join(f'<tr><th scope="row">{key}</th><td>{escape(value)}</td></tr>' for key, value in facts.items())
    return f'<div class="scroll"><table class="facts-table">{rows}</table></div>'


def _section(heading: str, content: str, caption: str) -> str:
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<section><h2>{escape(heading)}</h2><figure>{content}{words}</figure></section>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<header>{header}</header>
{sections}
</main>
</body>
</html>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the report of the run folder named on the command line again; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1 or given[0].startswith("-"):
        print("usage: python -m emulation.report RUN_DIR", file=sys.stderr)
        return 0 if given in (["-h"], ["--help"]) else 2
    try:
        print(write_report(Path(given[0])))
    except InputError as err:
        print(err, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
