"""The short table at the end of a run."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from emulation.records import Computing, LinkRow, Outage, Overhead, Summary

_MOST = 5
_BEFORE, _AFTER = "before", "after"
_SIDE_BY_SIDE = 100
_STYLES = {"committed": "bold green", "kept": "bold", "aborted": "bold red"}


def print_outcome(console: Console, summary: Summary, links: Sequence[LinkRow], report: str | None) -> None:
    """Print what a run changed and what it cost: MLU, the most loaded links, costs, frames and bytes, times."""
    plain = console.options.ascii_only
    console.print()
    status = (summary.status, _STYLES[summary.status])
    console.print(Text.assemble(status, f"  {summary.reason}" if summary.reason else ""), soft_wrap=True)
    console.print()
    console.print(_mlu_table(summary, plain))
    if links:
        # Side by side where the two fit, else one below the other.
        fits = console.width >= _SIDE_BY_SIDE
        for sides in ((_BEFORE, _AFTER),) if fits else ((_BEFORE,), (_AFTER,)):
            console.print()
            console.print(_links_table(links, sides, plain))
    console.print()
    for name, words in (*_facts(summary), *((("report", report),) if report else ())):
        console.print(Text.assemble((f" {name:<10}", "dim"), words), soft_wrap=True)


def _table(plain: bool) -> Table:
    return Table(box=box.ASCII if plain else box.SIMPLE_HEAD, pad_edge=False, header_style="dim", show_edge=False)


def _mlu_table(summary: Summary, plain: bool) -> Table:
    mlu = summary.mlu
    table = _table(plain)
    table.add_column(" MLU")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right", min_width=9)
    rows = (
        ("predicted", mlu.before.predicted, mlu.after.predicted),
        ("measured", mlu.before.measured, mlu.after.measured),
    )
    for name, before, after in rows:
        change = f"{after / before - 1:+.1%}" if before and after is not None else "-"
        shown = ("-" if before is None else f"{before:.3f}", "-" if after is None else f"{after:.3f}")
        table.add_row(f" {name}", shown[0], Text(shown[1], style="bold"), change)
    return table


def _links_table(links: Sequence[LinkRow], sides: Sequence[str], plain: bool) -> Table:
    """Return the most loaded links before, after, or both beside each other."""
    table = _table(plain)
    columns: list[list[Text]] = []
    for number, side in enumerate(sides):
        indent = "" if number else " "
        table.add_column(f"{indent}most loaded {side}", no_wrap=True, overflow="crop" if plain else "ellipsis")
        for name in ("predicted", "measured", *(("weight",) if side == _AFTER else ())):
            table.add_column(name, justify="right", no_wrap=True)
        rows = _most_loaded(links, side)
        # Text, not str: a node called "[red]" is a name, not markup.
        columns.append([Text(f"{indent}{row.name}") for row in rows])
        columns.append([_share(_used(row, side)) for row in rows])
        columns.append([_share(_used(row, side, measured=True)) for row in rows])
        if side == _AFTER:
            columns.append([Text(_weight(row)) for row in rows])
    for cells in zip(*columns, strict=True):
        table.add_row(*cells)
    return table


def _used(row: LinkRow, side: str, *, measured: bool = False) -> float | None:
    if side == _BEFORE:
        return row.utilization_before_measured if measured else row.utilization_before_predicted
    return row.utilization_after_measured if measured else row.utilization_after_predicted


def _weight(row: LinkRow) -> str:
    changed = row.weight_live != row.weight_after
    return f"{row.weight_live} -> {row.weight_after}" if changed else f"{row.weight_after}"


def _most_loaded(links: Sequence[LinkRow], side: str) -> list[LinkRow]:
    return sorted(links, key=lambda row: (-(_used(row, side) or 0.0), row.link))[:_MOST]


def _share(utilization: float | None) -> Text:
    if utilization is None:
        return Text("-")
    return Text(f"{utilization:.1%}", style="bold magenta" if utilization > 1.0 else "")


def _facts(summary: Summary) -> list[tuple[str, str]]:
    """Return the lines below the tables, (name, words)."""
    ospf, cost, times = summary.ospf, summary.overhead, summary.time_s
    costs = [f"{ospf.costs_changed} of {summary.links} changed"]
    if ospf.lsdb_verified is not None:
        costs.append("LSDB verified" if ospf.lsdb_verified else "LSDB DIFFERS")
    if ospf.routes_verified is not None:
        costs.append(f"{ospf.routes_verified[0]} of {ospf.routes_verified[1]} routes verified")
    agreed = f"{summary.agreement.routers} of {summary.routers} routers"
    agreed += f", digest {summary.agreement.digest[:16]}" if summary.agreement.digest else ""
    facts = [("costs", ", ".join(costs)), ("agreed", agreed)]
    if cost.frames_per_link is not None and cost.bytes_per_link is not None:
        parts = (
            ("hidden states", cost.hidden_state_bytes_per_link),
            ("sharing", cost.sharing_bytes_per_link),
            ("control", cost.control_bytes_per_link),
        )
        split = ", ".join(f"{name} {_kilobytes(amount)}" for name, amount in parts if amount is not None)
        sent = f"{cost.frames_per_link:,.0f} frames, {_kilobytes(cost.bytes_per_link)} ({split})"
        if cost.wire_bytes_per_link is not None:
            sent += f"; {_kilobytes(cost.wire_bytes_per_link)} on the wire"
        if summary.counted is not None:
            sent += f"; kernels and agents count alike to {summary.counted.apart:.2%}"
        facts.append(("per link", sent))
    if (told := mqtt_words(cost)) is not None:
        facts.append(("MQTT", told))
    phases = (
        ("bring-up", times.bring_up),
        ("episode", times.episode),
        ("commit", times.commit),
        ("total", times.total),
    )
    if summary.computing is not None:
        facts.append(("agents", computing_words(summary.computing)))
    if summary.failure is not None:
        facts.append(("failure", failure_words(summary.failure)))
    facts.append(("time", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in phases if seconds is not None)))
    return facts


def computing_words(computing: Computing) -> str:
    """Say in one line what the agents' processes took."""
    return (
        f"{computing.cpu_s_mean:.2f} s of a core each (busiest {computing.cpu_s_busiest:.2f} s), together "
        f"{computing.share:.0%} of {computing.cores} cores, {computing.memory_bytes / 1e6:.1f} MB each, "
        f"{computing.rounds_per_s:,.0f} rounds per second"
    )


def mqtt_words(cost: Overhead) -> str | None:
    """Say in a few words what a router and the coordinator told each other; None if it was not counted."""
    octets, start, messages = (
        cost.mqtt_bytes_per_router,
        cost.mqtt_start_bytes_per_router,
        cost.mqtt_messages_per_router,
    )
    if octets is None or start is None or messages is None:
        return None
    return f"{_kilobytes(octets)} per router in {messages:.1f} messages, {_kilobytes(start)} of it the start"


def failure_words(failure: Outage) -> str:
    """Say in one line what failed and what became of it."""
    if not failure.happened:
        return f"{failure.what} did not fail: the episode ended before step {failure.step}"
    words = [f"{failure.what} after step {failure.step}"]
    if failure.rerouted_s is not None:
        words.append(f"rerouted after {1e3 * failure.rerouted_s:.0f} ms")
    share = failure.packets_lost / max(failure.packets_sent, 1)
    words.append(
        f"{failure.packets_lost:,} of {failure.packets_sent:,} packets lost ({share:.2%}; {failure.packets_dropped:,} "
        "in full queues)"
    )
    if failure.mlu_unchanged is not None:
        words.append(f"MLU {failure.mlu_unchanged:.3f} by the old costs")
    if failure.episode_ended_s is not None:
        words.append(f"episode over after {failure.episode_ended_s:.2f} s")
    words.append("no new costs" if failure.committed_s is None else f"new costs after {failure.committed_s:.2f} s")
    return ", ".join(words)


def _kilobytes(amount: float) -> str:
    return f"{amount / 1000:,.1f} kB"
