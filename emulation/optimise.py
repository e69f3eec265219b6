"""One optimisation: start an episode at the coordinator, follow it, return how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import uvloop

from agent.credentials import Door
from coordinator.events import EpisodeEnded, StepDone
from coordinator.mqtt import Coordinator
from coordinator.outcome import Outcome
from coordinator.overhead import MqttOverhead
from coordinator.protocol import CoordinatorProtocol, Patience, Request, first_episode
from coordinator.request import make_request
from emulation.crowding import crowding
from emulation.plan import Plan
from emulation.processes import EmulationError
from routing.topology import Topology

MARGIN_MILLI = 10  # the best MLU must be 1 % below the live one to be committed (design, section 7)
READY_S = 60.0
_WATCH_S = 0.1

OnWaiting = Callable[[int, int], None]
OnStep = Callable[[int, float, str], None]


def request(plan: Plan) -> Request:
    """Return a run's episode as the coordinator takes it."""
    return make_request(
        plan.topology,
        plan.traffic,
        plan.start_weights,
        checkpoint=plan.checkpoint.hash,
        steps=plan.steps,
        seed=plan.options.seed,
        opening=plan.checkpoint.opening,
        patience=plan.patience,
        temperature_milli=round(1000 * plan.checkpoint.temperature),
        share=plan.options.share,
        ecmp=plan.options.ecmp,
        margin_milli=MARGIN_MILLI,
        ordered=plan.options.commit == "ordered",
    )


def optimise(
    plan: Plan, door: Door, *, watch: Callable[[], None], on_waiting: OnWaiting, on_step: OnStep
) -> tuple[Outcome, MqttOverhead]:
    """Wait until all agents are ready, run one episode, and return its outcome and what it has cost over MQTT.

    Parameters
    ----------
    plan : what to decide
    door : how to enter the broker where the agents are heard
    watch : raises if an agent's process is gone
    on_waiting : told (agents that are ready, agents in all) while they gather
    on_step : told (step, MLU, names of the links) at each step, step 0 being the start

    Raises
    ------
    EmulationError : agents are missing
    """
    return uvloop.run(_optimise(plan, door, watch, on_waiting, on_step))


async def _optimise(
    plan: Plan, door: Door, watch: Callable[[], None], on_waiting: OnWaiting, on_step: OnStep
) -> tuple[Outcome, MqttOverhead]:
    patience = Patience(silence_s=Patience.silence_s * crowding(plan.topology.num_nodes), gather_s=READY_S)
    protocol = CoordinatorProtocol(plan.topology, first=first_episode(time.time()), patience=patience)
    coordinator = Coordinator(protocol, door.address, tls=door.tls)
    coordinator.submit(request(plan))
    following = asyncio.create_task(_follow(coordinator, plan.topology, on_step), name="follow the episode")
    others = [
        asyncio.create_task(coordinator.run(), name="coordinator"),
        asyncio.create_task(_watch(protocol, plan.topology.num_nodes, watch, on_waiting), name="watch the agents"),
    ]
    try:
        await asyncio.wait([following, *others], return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            if task.done():
                task.result()  # they end only by what went wrong
        return await following, coordinator.overhead
    finally:
        for task in others:
            task.cancel()
        following.cancel()
        await asyncio.gather(following, *others, return_exceptions=True)


async def _watch(protocol: CoordinatorProtocol, agents: int, watch: Callable[[], None], on_waiting: OnWaiting) -> None:
    """Look after the agents' processes, and give up on those that do not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READY_S
    while True:
        watch()
        if not protocol.waiting:
            deadline = loop.time() + READY_S  # from here on, should it be tried again
        else:
            missing = protocol.waiting_for()
            on_waiting(agents - len(missing), agents)
            if missing and loop.time() > deadline:
                router, fault = next(iter(missing.items()))
                raise EmulationError(f"{len(missing)} agents are not ready after {READY_S:g} s; {router}: {fault}")
        await asyncio.sleep(_WATCH_S)


async def _follow(coordinator: Coordinator, topology: Topology, on_step: OnStep) -> Outcome:
    while True:
        event = await coordinator.events.get()
        if isinstance(event, StepDone):
            on_step(event.step, event.mlu, ", ".join(topology.link_name(link) for link in event.links))
        elif isinstance(event, EpisodeEnded) and not event.outcome.again:
            return event.outcome
