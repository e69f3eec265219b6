"""The routing kernels' speed beside networkx, scipy and rustworkx: `python -m tests.benchmarks.kernels`.

The libraries know no equal-cost splits, so two questions are put to them: all distances to all destinations (each in
its own fastest way), and, with networkx, the whole evaluation (distances, splits, loads) as a short program writes it.
All contenders take turns, so a busy machine is busy for all of them; medians and minima of the turns are shown.
Increments of large networks are timed by the thread's processor time: there are too few of them to average over what
else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import networkx as nx
import numpy as np
import rustworkx as rx
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from routing.formats import load_topology
from routing.parallel import ParallelRouting
from routing.state import RoutingState
from routing.topology import Topology
from routing.traffic import uniform

Job = Callable[[], object]

_LARGE = 200  # nodes
_TURN = 3e-3  # seconds


def take_turns(jobs: dict[str, Job], seconds: float) -> dict[str, list[float]]:
    """Run the jobs in turn, at least three times each, for about `seconds`; return the times of each, in seconds.

    A turn repeats a short job for some milliseconds and counts the mean: what the job before it left in the caches and
    in the branch predictors would weigh on microseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    repeats = {}
    for name, job in jobs.items():
        job()
        started = time.perf_counter()
        job()
        repeats[name] = 1 + int(_TURN / (time.perf_counter() - started))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(jobs))]) < 3:
        for name, job in jobs.items():
            started = time.perf_counter()
            for _ in range(repeats[name]):
                job()
            times[name].append((time.perf_counter() - started) / repeats[name])
    return times


def show(title: str, times: dict[str, list[float]], unit: float, symbol: str) -> None:
    """Print median, minimum and the ratio of medians to the first."""
    print(f"\n{title} ({len(next(iter(times.values())))} turns)")
    reference = statistics.median(next(iter(times.values())))
    for name, taken in times.items():
        median = statistics.median(taken)
        figures = f"{median / unit:10.1f} {symbol} {min(taken) / unit:10.1f} {symbol} {median / reference:9.1f} x"
        print(f"  {name:<44} {figures}")


def networkx_evaluation(topology: Topology, state: RoutingState) -> Job:
    """Return a job: distances by Dijkstra and loads by equal splits, from far to near, on networkx' graphs."""
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(
        zip(topology.src.tolist(), topology.dst.tolist(), state.weights.tolist(), strict=True)
    )
    backwards = graph.reverse()
    demand = state.traffic.demand

    def job() -> dict[tuple[int, int], float]:
        loads = dict.fromkeys(graph.edges, 0.0)
        for destination in graph:
            distance = nx.single_source_dijkstra_path_length(backwards, destination)
            flow = demand[:, destination].tolist()
            for node in sorted(distance, key=distance.__getitem__, reverse=True)[:-1]:
                hops = [head for head, data in graph[node].items() if data["weight"] + distance[head] == distance[node]]
                for head in hops:
                    loads[node, head] += flow[node] / len(hops)
                    flow[head] += flow[node] / len(hops)
        return loads

    return job


def distance_jobs(topology: Topology, state: RoutingState) -> dict[str, Job]:
    """Return jobs of the libraries that find the distances from all nodes to all."""
    nodes = topology.num_nodes
    src, dst = topology.src.tolist(), topology.dst.tolist()
    weights = state.weights.astype(float).tolist()
    matrix = csr_array((weights, (dst, src)), shape=(nodes, nodes))
    graph = rx.PyDiGraph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(list(zip(dst, src, weights, strict=True)))
    return {
        "scipy dijkstra, distances only": lambda: dijkstra(matrix),
        "rustworkx (all cores), distances only": lambda: rx.all_pairs_dijkstra_path_lengths(graph, float),
    }


def increments(state: RoutingState, count: int, greedy: bool) -> list[float]:
    """Return the times of `count` increments: of the most utilised link, or of random links."""
    clock = time.perf_counter if state.topology.num_nodes < _LARGE else time.thread_time  # the latter costs 1 us
    rng = np.random.default_rng(1)
    times = []
    for _ in range(count):
        link = int(state.utilization.argmax()) if greedy else int(rng.integers(state.topology.num_links))
        started = clock()
        state.increment(link)
        times.append(clock() - started)
    return times


def memory(state: RoutingState) -> int:
    """Return the bytes of a state's arrays, the topology and the traffic matrix included."""
    arrays = [value for owner in (state, state.topology, state.traffic) for value in vars(owner).values()]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def benchmark(name: str, seconds: float, threads: int, libraries: bool) -> None:
    """Print the table of one network."""
    topology = load_topology(name)
    traffic = uniform(topology, 0)
    weights = np.random.default_rng(0).integers(1, 5, topology.num_links)
    state = RoutingState(topology, traffic, weights)
    small = topology.num_nodes < _LARGE
    unit, symbol = (1e-6, "us") if small else (1e-3, "ms")
    print(f"\n{name}: {topology.num_nodes} nodes, {topology.num_links} links, state {memory(state) / 2**20:.2f} MiB")
    if libraries:
        loads = networkx_evaluation(topology, state)()
        links = zip(topology.src.tolist(), topology.dst.tolist(), strict=True)
        np.testing.assert_allclose([loads[ends] for ends in links], state.load_bps, rtol=1e-9, atol=1e-3)  # type: ignore[index]
    jobs: dict[str, Job] = {"ours: distances, splits, loads": state.evaluate}
    if threads > 1:
        parallel = ParallelRouting(topology, traffic, weights, threads=threads)
        jobs[f"ours, {threads} threads"] = parallel.evaluate
    if libraries:
        jobs |= distance_jobs(topology, state)
        jobs["networkx: distances, splits, loads"] = networkx_evaluation(topology, state)
    show("full evaluation: median, minimum, ratio", take_turns(jobs, seconds), unit, symbol)
    print("\none weight + 1: median, minimum, mean")
    for label, greedy in (("most utilised link", True), ("random links", False)):
        walk = RoutingState(topology, traffic, weights)
        times = increments(walk, 200, greedy)
        for _ in range(20 if small else 0):
            times += increments(RoutingState(topology, traffic, weights), 200, greedy)
        figures = (statistics.median(times), min(times), statistics.mean(times))
        print(f"  {label:<44} " + " ".join(f"{figure / unit:10.2f} {symbol}" for figure in figures))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kernels", description=__doc__)
    parser.add_argument("networks", nargs="*", default=["nsfnet", "gbn", "geant2", "synth1000"])
    parser.add_argument("--seconds", type=float, default=5.0, help="of turns for each network (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="of the parallel evaluation (default 2)")
    parser.add_argument("--ours", action="store_true", help="leave the libraries out")
    args = parser.parse_args()
    for name in args.networks:
        benchmark(name, args.seconds, args.threads, not args.ours)


if __name__ == "__main__":
    main()
