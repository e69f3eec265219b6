"""One network, two kinds of processor: half of the agents run kernels compiled for this one, half for the plainest.

Each half is a process of its own. They exchange datagrams in turns over pipes; a turn is a millisecond of the agents'
clock. Whatever a processor computed differently would show in a digest, which every frame carries.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from agent.events import EpisodeEnded
from agent.order import Order
from agent.protocol import AgentProtocol
from experiments.faults_trial import make_setting
from routing.initial import initial_weights
from routing.state import inverse_capacity
from routing.traffic import uniform

TURN_S = 0.001
PLAIN = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
_ROOT = Path(__file__).parent.parent
Datagram = tuple[int, int, bytes]  # sender, receiver, data


@dataclass(frozen=True)
class Mixed:
    """Episodes that were run, those in which routers did not end alike, and steps in all."""

    episodes: int
    differing: int
    steps: int


class Half:
    """The agents of some routers, in the process that calls."""

    def __init__(self, seed: int, routers: list[int]) -> None:
        self.setting = make_setting(seed)
        self.now = 0.0
        self.ended: dict[int, EpisodeEnded] = {}
        self._agents = {
            router: AgentProtocol(
                topology=self.setting.topology,
                network=self.setting.network,
                router=router,
                key=b"a key for both halves",
                boot_nonce=bytes([router]) * 16,
                now=0.0,
            )
            for router in routers
        }

    def start(self, number: int, steps: int) -> None:
        """Give all agents the order of an episode."""
        topology = self.setting.topology
        order = Order(
            episode=number,
            seed=number,
            steps=steps,
            increments=1,
            temperature_milli=1000,
            share="candidate",
            ecmp=True,
            margin_milli=1000,  # nothing is committed
            checkpoint=self.setting.checkpoint.hash,
            traffic=uniform(topology, number),
            start=initial_weights(f"random:{number}", topology),
        )
        self.ended.clear()
        for agent in self._agents.values():
            agent.start_episode(order, inverse_capacity(topology), self.now)

    def tick(self, incoming: list[Datagram]) -> tuple[list[Datagram], bool, bool]:
        """Take what has come and let a millisecond pass.

        Returns (what the other half has to hear, whether all sessions stand, whether all episodes have ended).
        """
        self.now += TURN_S
        outgoing: list[Datagram] = []
        while True:
            for sender, receiver, data in incoming:
                self._agents[receiver].receive_datagram(data, sender, self.now)
            incoming = []
            for router, agent in self._agents.items():
                if agent.get_timer() <= self.now:
                    agent.handle_timer(self.now)
                for peer, data in agent.datagrams_to_send():
                    (incoming if peer in self._agents else outgoing).append((router, peer, data))
                while (event := agent.next_event()) is not None:
                    if isinstance(event, EpisodeEnded):
                        self.ended[router] = event
            if not incoming:
                break
        ready = all(agent.ready for agent in self._agents.values())
        return outgoing, ready, len(self.ended) == len(self._agents)

    def results(self) -> dict[int, tuple[str, bytes, list[tuple[int, ...]]]]:
        """Return router -> (status, digest, links of each step)."""
        return {
            router: (end.status, end.digest, [step.links for step in end.trace]) for router, end in self.ended.items()
        }


def serve(questions: Connection) -> None:
    """Be one half: take (method, arguments), return the result, until the other end closes."""
    seed, routers = questions.recv()
    half = Half(seed, routers)
    while True:
        try:
            method, arguments = questions.recv()
        except EOFError:
            return
        questions.send(getattr(half, method)(*arguments))


class _Remote:
    """A half in a process of its own."""

    def __init__(self, seed: int, routers: list[int], environment: dict[str, str]) -> None:
        self._connection, other = Pipe()
        command = [sys.executable, "-m", "experiments.faults_mixed", str(other.fileno())]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, env=os.environ | environment, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL
        )
        other.close()
        self._connection.send((seed, routers))

    def ask(self, method: str, *arguments: object) -> None:
        """Begin a call."""
        self._connection.send((method, arguments))

    def answer(self) -> Any:
        """Return the result of the call that was begun."""
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.wait()


def run_mixed(seed: int, episodes: int, steps: int = 4) -> Mixed:
    """Run episodes among agents of both kinds; raises RuntimeError if one does not end."""
    routers = list(range(make_setting(seed).topology.num_nodes))
    halves = [_Remote(seed, routers[0::2], {}), _Remote(seed, routers[1::2], PLAIN)]
    differing = 0
    try:
        letters: list[list[Datagram]] = [[], []]
        _turns(halves, letters, 1, 3000)
        for number in range(1, episodes + 1):
            _call(halves, "start", number, steps)
            _turns(halves, letters, 2, 20000)
            results = {router: end for half in _call(halves, "results") for router, end in half.items()}
            differing += any(end != results[0] or end[0] != "kept" for end in results.values())
    finally:
        for half in halves:
            half.close()
    return Mixed(episodes, differing, episodes * steps)


def _call(halves: list[_Remote], method: str, *arguments: object) -> list[Any]:
    for half in halves:
        half.ask(method, *arguments)
    return [half.answer() for half in halves]


def _turns(halves: list[_Remote], letters: list[list[Datagram]], which: int, limit: int) -> int:
    """Exchange datagrams until both halves say that item `which` of `tick` holds; return how many turns it took."""
    for turn in range(limit):
        for half, incoming in zip(halves, letters, strict=True):
            half.ask("tick", incoming)
        answers = [half.answer() for half in halves]
        letters[0], letters[1] = answers[1][0], answers[0][0]
        if all(answer[which] for answer in answers):
            return turn
    raise RuntimeError(f"not after {limit} turns")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
