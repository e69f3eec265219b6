"""Agents that follow a script instead of a policy, on the real `AgentLink`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

from agent.broker import BrokerAddress
from agent.control import Cancel, Progress, Result, Start, Status
from agent.mqtt import AgentLink

DOMAIN = "test"
QUICK = (0.01, 0.1)  # pauses between attempts to connect


def digest_of(start: Start) -> str:
    return hashlib.blake2s(start.traffic, digest_size=16).hexdigest()


class ScriptedAgent:
    """Answers each `Start` with a result; `script` may hold it back, change it, or leave it out (None).

    The agent called "a" sends the steps and the trace, as the root does.
    """

    def __init__(
        self, router: str, broker: BrokerAddress, script: Callable[[Result], Result | None] | None = None
    ) -> None:
        self.link = AgentLink(router, broker, domain=DOMAIN, backoff_s=QUICK)
        self.router = router
        self.script = script or (lambda result: result)
        self.starts: list[Start] = []
        self.cancels: list[Cancel] = []
        self.go_on = asyncio.Event()  # cleared: steps are sent, the result is held back
        self.go_on.set()
        self.link.set_status(Status(router=router, online=True, ready=True))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.link.run())
            episode: asyncio.Task[None] | None = None
            async for message in self.link:
                if isinstance(message, Start):
                    self.starts.append(message)
                    episode = tasks.create_task(self.answer(message))
                else:
                    self.cancels.append(message)
                    if episode is not None and not episode.done():
                        episode.cancel()
                        reason = message.reason
                        self.link.publish(
                            Result(router=self.router, episode=message.episode, status="aborted", reason=reason)
                        )

    async def answer(self, start: Start) -> None:
        mlu = [0.9 - 0.1 * step for step in range(start.steps + 1)]
        if self.router == "a":
            for step, value in enumerate(mlu):
                self.link.publish(Progress(episode=start.episode, step=step, links=[1] if step else [], mlu=value))
        await self.go_on.wait()
        trace = {}
        if self.router == "a":
            links = [[1]] * start.steps
            weights = np.frombuffer(start.start_weights, "<u2") + np.uint16(1)
            trace = {"links": links, "mlu": mlu, "best_weights": weights.tobytes()}
        result = Result(
            router=self.router,
            episode=start.episode,
            status="committed",
            digest=digest_of(start),
            steps=start.steps,
            best_step=start.steps,
            mlu_live=mlu[0],
            mlu_best=mlu[-1],
            costs_changed=1,
            lsdb_verified=True,
            **trace,  # type: ignore[arg-type]
        )
        answer = self.script(result)
        if answer is not None:
            self.link.publish(answer)


@asynccontextmanager
async def running(*agents: ScriptedAgent) -> AsyncIterator[None]:
    """Run agents for the time of the block, which ends with an error if one of them does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.run()) for agent in agents]
        yield
        for task in tasks:
            task.cancel()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Let the loop work until something holds; fail after the deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
