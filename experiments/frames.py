"""What a frame costs, stage by stage, and what lost frames cost an episode.

    python -m experiments.frames                        stages: microseconds of processor time per frame
    python -m experiments.frames --loss 0,0.01,0.1      loss: length of an episode on the virtual clock
    python -m experiments.frames --loss 0,0.1,0.2 --duplication 0.5 --reordering 0.2 --topology nsfnet --steps 2

Stages: all agents of a network in this process hand each other datagrams through a queue, so there is no waiting. What
the parts take is measured by themselves and subtracted; a UDP socket pair on 127.0.0.1 stands for the kernel. Each
figure is the least of several repetitions, with warm caches: seventeen processes on two cores take two to three times
as long for the same.

Loss: time is virtual (a millisecond per link), so the figures depend on nothing but the seeds. `digests` counts the
different decisions of all episodes, which must be 1.
"""

from __future__ import annotations

import argparse
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from agent.events import EpisodeEnded
from agent.messages import State, decode, encode
from agent.order import Order
from agent.protocol import AgentProtocol
from agent.session import _keyed, _tag
from experiments.virtual_network import Impairment, VirtualNetwork
from policy.checkpoint import load_checkpoint
from policy.mpnn import Network, OwnLinks
from routing.errors import InputError
from routing.formats import load_topology
from routing.state import inverse_capacity
from routing.topology import Topology
from routing.traffic import uniform

_KEY = b"a key of the frames' test"
_REPEATS = 5


def parser() -> argparse.ArgumentParser:
    """Return the command's arguments."""
    text, _, details = (__doc__ or "").partition("\n\n")
    arguments = argparse.ArgumentParser(
        prog="python -m experiments.frames",
        description=text,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = arguments.add_argument
    add("--topology", default="gbn", metavar="NAME", help="network [gbn]")
    add("--checkpoint", default="default", metavar="NAME|FILE", help="the policy [default]")
    add("--steps", type=int, default=40, metavar="T", help="length of an episode [40]")
    add("--loss", metavar="P,...", help="measure loss instead of stages: probabilities, the first one is the measure")
    add("--duplication", type=float, default=0.0, metavar="P", help="of frames that arrive twice [0]")
    add("--reordering", type=float, default=0.0, metavar="P", help="of frames late by 1 to 64 link delays [0]")
    add("--seeds", type=int, default=5, metavar="N", help="episodes for each probability [5]")
    add("--json", action="store_true", help='print one JSON object, {"rows": [...]}')
    return arguments


def _order(topology: Topology, checkpoint_hash: str, steps: int) -> Order:
    return Order(
        episode=1,
        seed=2,
        steps=steps,
        increments=1,
        temperature_milli=1000,
        share="candidate",
        ecmp=True,
        margin_milli=1000,
        checkpoint=checkpoint_hash,
        traffic=uniform(topology, 1),
        start=inverse_capacity(topology),
    )


# ---- stages


def _least(work: Callable[[], object], calls: int = 2000) -> float:
    """Return the least processor time of a call in microseconds."""
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.process_time()
        for _ in range(calls):
            work()
        best = min(best, time.process_time() - began)
    return 1e6 * best / calls


def _episode(topology: Topology, network: Network, order: Order) -> tuple[float, int]:
    """Return (processor seconds, frames) of one episode over a queue, up to its end on all routers."""
    agents = [
        AgentProtocol(topology=topology, network=network, router=n, key=_KEY, boot_nonce=bytes([n]) * 16, now=0.0)
        for n in range(topology.num_nodes)
    ]
    queue: deque[tuple[int, int, bytes]] = deque()
    ended: set[int] = set()
    now = 0.0
    frames = 0

    def pump(router: int) -> None:
        nonlocal frames
        for peer, data in agents[router].datagrams_to_send():
            queue.append((peer, router, data))
            frames += 1
        while (event := agents[router].next_event()) is not None:
            if isinstance(event, EpisodeEnded):
                ended.add(router)

    def drain() -> None:
        nonlocal now
        while queue:
            receiver, sender, data = queue.popleft()
            now += 1e-6
            agents[receiver].receive_datagram(data, sender, now)
            pump(receiver)

    for _ in range(3):
        for router, agent in enumerate(agents):
            agent.handle_timer(now)
            pump(router)
        drain()
    frames = 0
    began = time.process_time()
    for router, agent in enumerate(agents):
        agent.start_episode(order, order.start, now)
        pump(router)
    drain()
    if len(ended) < len(agents):
        raise RuntimeError(f"{len(agents) - len(ended)} of {len(agents)} routers did not end their episode")
    return time.process_time() - began, frames


def _round_trip() -> Callable[[], object]:
    """Return what sends a datagram of a state's size over 127.0.0.1 and receives it as an agent does."""
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (one, two):
        sock.bind(("127.0.0.1", 0))
    one.connect(two.getsockname())
    poll = select.epoll()
    poll.register(two, select.EPOLLIN)
    data = bytes(60)

    def work() -> None:
        one.send(data)
        poll.poll(0)
        two.recv(1401)

    return work


def stages(topology: Topology, checkpoint: str, steps: int) -> list[dict[str, Any]]:
    """Return one row per stage: microseconds per frame and share of the whole."""
    loaded = load_checkpoint(checkpoint)
    network = Network(loaded.preset, loaded.parameters)
    order = _order(topology, loaded.hash, steps)
    seconds, frames = min(_episode(topology, network, order) for _ in range(_REPEATS))
    protocol = 1e6 * seconds / frames

    degree = round(topology.num_links / topology.num_nodes)
    links = OwnLinks(network, degree, degree)
    links.begin(np.ones((degree, loaded.preset.num_features), dtype=np.float32))
    computing = _least(links.round) * topology.num_nodes * loaded.preset.rounds * steps / frames

    state = State(2**31, 100, 1, False, bytes(4), bytes(2 * loaded.preset.hidden))
    body = encode(state)
    keyed = _keyed(bytes(32))
    codec = _least(lambda: decode(encode(state)))
    tags = 2 * _least(lambda: _tag(keyed, body))
    kernel = _least(_round_trip())
    rest = max(protocol - computing - codec - tags, 0.0)
    whole = protocol + kernel
    named = {
        "policy's rounds": computing,
        "encode, decode": codec,
        "authentication (two tags)": tags,
        "protocol, steps of the episode": rest,
        "socket: send, poll, receive": kernel,
        "all": whole,
    }
    return [{"stage": name, "us_per_frame": took, "share": took / whole} for name, took in named.items()]


# ---- loss


def losses(topology: Topology, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return one row per probability of loss; times, frames and bytes are relative to the first one."""
    loaded = load_checkpoint(options.checkpoint)
    network = Network(loaded.preset, loaded.parameters)
    order = _order(topology, loaded.hash, options.steps)
    rows: list[dict[str, Any]] = []
    first: tuple[float, float, float] | None = None
    digests: set[bytes] = set()
    for loss in _probabilities(options.loss):
        took, frames, sent, again = [], 0, 0, 0
        aborted = 0
        for seed in range(options.seeds):
            impairment = Impairment(loss=loss, duplication=options.duplication, reordering=options.reordering)
            run = VirtualNetwork(topology, network, order.start, impairment=impairment, seed=seed)
            ends = run.run_episode(order)
            aborted += any(end.status == "aborted" for end in ends)
            digests |= {end.digest for end in ends if end.status != "aborted"}
            took.append(max(end.episode_s for end in ends))
            overheads = [overhead for agent in run.agents for overhead in agent.overhead().values()]
            frames += sum(overhead.frames for overhead in overheads)
            sent += sum(overhead.bytes for overhead in overheads)
            again += sum(overhead.retransmitted_frames for overhead in overheads)
        mean = sum(took) / len(took)
        first = first or (mean, frames, sent)
        rows.append(
            {
                "loss": loss,
                "time": mean / first[0],
                "slowest": max(took) / first[0],
                "frames": frames / first[1],
                "bytes": sent / first[2],
                "repeated": again / frames,
                "aborted": aborted,
                "digests": len(digests),
            }
        )
        print(f"loss {loss:g}: {mean / first[0]:.2f} times", file=sys.stderr)
    return rows


def _probabilities(text: str) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--loss {text}: expected probabilities, as 0,0.01,0.1") from error
    if not all(0.0 <= value < 1.0 for value in values):
        raise InputError(f"--loss {text}: expected probabilities from 0 to below 1")
    return values


def _table(rows: Sequence[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    names = list(rows[0])
    lines = [names, *([cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    try:
        if options.seeds < 1 or options.steps < 1:
            raise InputError("--seeds and --steps: expected at least 1")
        topology = load_topology(options.topology, "uniform")
        if options.loss:
            rows = losses(topology, options)
        else:
            rows = stages(topology, options.checkpoint, options.steps)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(msgspec.json.encode({"rows": rows}).decode() if options.json else _table(rows))
    return int(any(row.get("digests", 1) > 1 for row in rows))


if __name__ == "__main__":
    sys.exit(main())
