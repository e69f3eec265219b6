"""`python -m agent --config FILE`: the agent of one router."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from agent.config import check_against, load_config, load_key
from agent.credentials import open_door
from agent.program import load_shared, run_agent
from agent.statefile import StateFile
from routing.errors import InputError


def main() -> int:
    """Read the configuration, check everything, run."""
    parser = argparse.ArgumentParser(
        prog="python -m agent",
        description="Run one router's agent: it talks to its neighbours and tunes the OSPF costs of its own links.",
        epilog="Ends with SIGTERM or Ctrl-C. Exit codes: 0 done, 1 internal error, 2 bad input, 130 interrupted.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="TOML file; see docs/agent.md")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="write the agent's frame counters there at the end")
    parser.add_argument(
        "--check", action="store_true", help="check configuration, key, credentials, topology and checkpoint, and stop"
    )
    parser.add_argument("--verbose", "-v", action="store_true", help="log every frame's trouble (DEBUG)")
    options = parser.parse_args()
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        config = load_config(options.config)
        shared = load_shared(config)
        check_against(config, shared.topology, options.config)
        load_key(config.key_file)
        open_door(config.broker, config.credentials, insecure=config.insecure_broker)
        if config.state:
            StateFile(config.state)
        if options.check:
            policy = shared.checkpoint.hash[:8]
            print(f"{options.config}: good; {config.router} of {shared.topology.name}, checkpoint {policy}")
            return 0
        return run_agent(config, shared, options.folder)
    except InputError as error:
        print(f"agent: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
