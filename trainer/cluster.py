"""Episodes played by a Ray cluster: `--ray ADDRESS`, from the extra `cluster`.

Every part of a rollout is a task without state, so workers may come and go: Ray repeats what a lost one had. The code
that the workers run is this house's, sent along with its hash, so that all nodes run what the trainer runs; they need
the same Python and the packages of `scripts/setup train cluster`. A cluster that asks for a token wants
``RAY_AUTH_MODE=token`` in the environment and the token in ``~/.ray/auth_token``, as `ray start` leaves it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from routing.errors import InputError
from trainer.clock import Clock
from trainer.model import Agent
from trainer.players import Task, collect, play_part
from trainer.rollout import Play

_HOUSE = Path(__file__).resolve().parent.parent
_SENT = ("routing", "policy", "baselines", "trainer")
_RETRIES = 5


class InCluster:
    """Plays on a Ray cluster, in as many tasks at once as it has CPUs.

    address : ``local`` for one on this machine with `workers` CPUs, else as `ray.init` takes it (``auto``, HOST:PORT,
    ``ray://...``)

    Raises InputError where Ray is not installed or does not answer.
    """

    def __init__(self, address: str, workers: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        try:
            import ray
        except ImportError as error:
            raise InputError("--ray needs the package ray, expected `scripts/setup train cluster`") from error
        local = address == "local"
        options: dict[str, Any] = {}
        if local:
            options = {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        # On this machine the clone itself is used, and with it the kernels that are compiled already.
        options["runtime_env"] = (
            {"env_vars": {"PYTHONPATH": str(_HOUSE)}} if local else {"py_modules": [str(_HOUSE / n) for n in _SENT]}
        )
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"--ray {address}: {reason}, expected a running cluster (and RAY_AUTH_MODE=token if it has tokens)"
            ) from error
        self._ray = ray
        self._play = ray.remote(num_cpus=1, max_retries=_RETRIES)(play_part)

    def play(self, agent: Agent, task: Task, clock: Clock) -> list[Play]:
        """Play all episodes to their ends."""
        ray, actor = self._ray, agent.actor
        parts = max(1, int(ray.cluster_resources().get("CPU", 1)))
        parameters = ray.put(actor.export())
        found = [self._play.remote(actor.preset, parameters, part) for part in task.split(parts)]
        return collect(ray.get(found), clock)

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._ray.shutdown()
