"""Kernels of the search over middlepoints: take a demand off its path, try others, put it on the best.

What a link's utilization u costs is ``(u / level) ** 128``, `level` being about the lowest MLU so far, so that the sum
over links is ruled by the most utilised ones but still tells two of them from three; and it needs no logarithm. A unit
of traffic adds ``part = share / capacity`` to a link's utilization. Every change is logged with the old values and
undone by putting them back, so that trying leaves no rounding behind.

Arrays (D demands that may move, L links, E entries of `baselines.segment_paths`): ptr, link, part (E,): the paths of
each pair; source, target (D,) int32, volume (D,) float64; middle (D, 2) int32: first and second middlepoint, -1 for
none (the second only after a first); use, cost (L,) float64: each link's utilization and what it costs; log_link,
log_use, log_cost (6 L,): the log. The index says which demands cross a link: the first count[l] entries of member[l],
(L, D) int32, in any order, and where[l, d] is the place of d in it, or -1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from baselines.chance import Uint64, below, exponential
from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit

DOUBLINGS = 7  # 2**7 = 128; 64 to 256 end within 0.5 % of each other, 16 and 32 are worse
_NEAR = 0.97  # links at least this full, relative to the fullest, are where demands are taken from
_FULLEST = 4  # one time in four it is the fullest itself
_NONE = -1
# state: of `search`
BEST, LEVEL, TRIED = 0, 1, 2


@njit("f8(f8)", inline=True)
def _power(value: float) -> float:
    for _ in range(DOUBLINGS):
        value *= value
    return value


@njit("i8(i8, i8, i8, i8)", inline=True)
def _stop(position: int, first: int, second: int, target: int) -> int:
    """Return the end of a path's segment 0, 1 or 2; -1 if there is no such segment."""
    if position == 0:
        return first
    if position == 1:
        return second
    return target


@njit(
    "Tuple((f8, i8))(i8, i8, i8, i8, f8, f8, f8, i8, i8[::1], i4[::1], f8[::1], f8[::1], f8[::1], i4[::1], f8[::1], "
    "f8[::1])"
)
def _put(
    source: int,
    first: int,
    second: int,
    target: int,
    volume: float,
    level: float,
    limit: float,
    logged: int,
    ptr: Int64,
    link: Int32,
    part: Float64,
    use: Float64,
    cost: Float64,
    log_link: Int32,
    log_use: Float64,
    log_cost: Float64,
) -> tuple[float, int]:
    """Put `volume` (negative: take it off) on a path; return what that costs and the new length of the log.

    Stops after a segment with which the price has reached `limit`.
    """
    nodes = int(np.sqrt(ptr.shape[0] - 1) + 0.5)
    price = 0.0
    at = source
    for position in range(3):
        beyond = _stop(position, first, second, target)
        if beyond < 0:
            continue
        for entry in range(ptr[at * nodes + beyond], ptr[at * nodes + beyond + 1]):
            on = link[entry]
            log_link[logged] = on
            log_use[logged] = use[on]
            log_cost[logged] = cost[on]
            logged += 1
            use[on] += volume * part[entry]
            before = cost[on]
            cost[on] = _power(use[on] / level)
            price += cost[on] - before
        if price >= limit:
            break
        at = beyond
    return price, logged


@njit("void(i8, i8, f8[::1], f8[::1], i4[::1], f8[::1], f8[::1])", inline=True)
def _undo(
    logged: int, keep: int, use: Float64, cost: Float64, log_link: Int32, log_use: Float64, log_cost: Float64
) -> None:
    """Put everything back that was logged after the first `keep` entries."""
    for i in range(logged - 1, keep - 1, -1):
        use[log_link[i]] = log_use[i]
        cost[log_link[i]] = log_cost[i]


@njit("void(i8, i8, i8, i8, i8, i8, i8[::1], i4[::1], i4[:,::1], i4[::1], i4[:,::1], b1)")
def enrol(
    demand: int,
    source: int,
    first: int,
    second: int,
    target: int,
    nodes: int,
    ptr: Int64,
    link: Int32,
    member: NDArray[np.int32],
    count: Int32,
    where: NDArray[np.int32],
    crossing: bool,
) -> None:
    """Enter a demand into the index of all links on its path, or (`crossing` false) strike it out."""
    at = source
    for position in range(3):
        beyond = _stop(position, first, second, target)
        if beyond < 0:
            continue
        for entry in range(ptr[at * nodes + beyond], ptr[at * nodes + beyond + 1]):
            on = link[entry]
            place = where[on, demand]
            if crossing and place < 0:
                where[on, demand] = count[on]
                member[on, count[on]] = demand
                count[on] += 1
            elif not crossing and place >= 0:
                count[on] -= 1
                last = member[on, count[on]]
                member[on, place] = last
                where[on, last] = place
                where[on, demand] = _NONE
        at = beyond


@njit("i8(f8[::1], u8[::1])")
def _hot_link(use: Float64, chance: Uint64) -> int:
    """Choose a link among the most utilised."""
    top = 0
    for on in range(use.shape[0]):
        if use[on] > use[top]:
            top = on
    if below(chance, _FULLEST) == 0:
        return top
    least = use[top] * _NEAR
    seen = 0
    chosen = top
    for on in range(use.shape[0]):
        if use[on] >= least:
            seen += 1
            if below(chance, seen) == 0:
                chosen = on
    return chosen


@njit("Tuple((i8, i8))(i8, i8, i8, i8, i8, i8, u8[::1])", inline=True)
def _candidate(
    kind: int, node: int, first: int, second: int, nodes: int, target: int, chance: Uint64
) -> tuple[int, int]:
    """Return the middlepoints of the `node`-th candidate of a kind.

    Kind 0: `node` alone (the source stands for no middlepoint at all). Kinds 1 and 2 change one end of what is there:
    with two middlepoints they replace the first or the second, with one they insert another before or after it, with
    none kind 1 takes `node` and a random second.
    """
    if kind == 0:
        return node, _NONE
    if first < 0:
        return (node, below(chance, nodes)) if kind == 1 else (target, target)
    if second < 0:
        return (node, first) if kind == 1 else (first, node)
    return (node, second) if kind == 1 else (first, node)


@njit(
    "void(i8, f8[::1], u8[::1], f8[::1], f8, i8, i8[::1], i4[::1], f8[::1], i4[::1], i4[::1], f8[::1], i4[:,::1], "
    "i4[:,::1], f8[::1], f8[::1], i4[::1], f8[::1], f8[::1], i4[:,::1], i4[::1], i4[:,::1])"
)
def search(
    steps: int,
    state: Float64,
    chance: Uint64,
    exponentials: Float64,
    temperature: float,
    nodes: int,
    ptr: Int64,
    link: Int32,
    part: Float64,
    source: Int32,
    target: Int32,
    volume: Float64,
    middle: Int32,
    best: Int32,
    use: Float64,
    cost: Float64,
    log_link: Int32,
    log_use: Float64,
    log_cost: Float64,
    member: NDArray[np.int32],
    count: Int32,
    where: NDArray[np.int32],
) -> None:
    """Move `steps` demands off a hot link; keep the assignment with the lowest MLU in `best` (D, 2).

    A demand goes to the cheapest other path there is, if that is cheaper than the old one or dearer by less than
    `temperature` times an exponential variate (Metropolis' rule). state (3,): lowest MLU, level of the costs, paths
    tried so far.
    """
    links = use.shape[0]
    for _ in range(steps):
        hot = _hot_link(use, chance)
        if count[hot] == 0:
            continue
        demand = int(member[hot, below(chance, count[hot])])
        other = int(member[hot, below(chance, count[hot])])
        if volume[other] > volume[demand]:  # the larger of two: that is where the MLU is made
            demand = other
        begin, end, amount = int(source[demand]), int(target[demand]), volume[demand]
        old_first, old_second = int(middle[demand, 0]), int(middle[demand, 1])
        freed, taken = _put(
            begin, old_first, old_second, end, -amount, state[LEVEL], np.inf, 0,
            ptr, link, part, use, cost, log_link, log_use, log_cost,
        )  # fmt: skip
        limit = temperature * exponential(chance, exponentials) - freed
        new_first, new_second = old_first, old_second
        for kind in range(3):
            for node in range(nodes):
                first, second = _candidate(kind, node, old_first, old_second, nodes, end, chance)
                if kind == 0 and first == begin:
                    first = _NONE
                elif first == begin or first == end or second == begin or second == end or first == second:
                    continue
                if first == old_first and second == old_second:
                    continue
                price, logged = _put(
                    begin, first, second, end, amount, state[LEVEL], limit, taken,
                    ptr, link, part, use, cost, log_link, log_use, log_cost,
                )  # fmt: skip
                _undo(logged, taken, use, cost, log_link, log_use, log_cost)
                state[TRIED] += 1
                if price < limit:
                    limit = price
                    new_first, new_second = first, second
        if new_first == old_first and new_second == old_second:
            _undo(taken, 0, use, cost, log_link, log_use, log_cost)
            continue
        _put(
            begin, new_first, new_second, end, amount, state[LEVEL], np.inf, 0,
            ptr, link, part, use, cost, log_link, log_use, log_cost,
        )  # fmt: skip
        enrol(demand, begin, old_first, old_second, end, nodes, ptr, link, member, count, where, False)
        enrol(demand, begin, new_first, new_second, end, nodes, ptr, link, member, count, where, True)
        middle[demand, 0] = new_first
        middle[demand, 1] = new_second
        mlu = use.max()
        if mlu < state[BEST]:
            state[BEST] = mlu
            best[:, :] = middle
            if mlu < 0.99 * state[LEVEL]:
                state[LEVEL] = mlu
                for on in range(links):
                    cost[on] = _power(use[on] / mlu)
