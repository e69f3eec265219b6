"""What a link agent sees: named feature sets, computed for any links from a router's copy of the global state.

`default` has no scale: multiplying all traffic, capacities or weights leaves it (nearly) unchanged, so that one
checkpoint serves networks of other sizes and units. With u the utilization, U its maximum over the links, w the weight:

| column | value |
|---|---|
| relative_utilization | u / U |
| log_weight | log(w / mean w) |
| log_capacity | log(capacity / mean capacity) |
| time | t / T |
| log_mlu | 10 log(U / best U so far), at most 5 |
| recency | exp(-age / 5), age in steps since this link was chosen last; 0 if never |
| actions | n / (n + 5), n times chosen |
| change | of u / U by the last step |
| shifted_share | share of the link's load that a weight higher by one would move to other links of its own router |
| mean_relative_utilization | mean of u / U over all links |
| weight | w / (w + 10): how much one more is |
| near_maximum | 1 if u / U >= 0.99 |

`lookahead` is `default` and, for each link with u / U >= 0.5, what the network would be if its weight were one higher
(U' and u' then; 0 for the others, where nearly always it would change little):

| column | value |
|---|---|
| after | 10 log(U' / U), from -3 to 3 |
| after_powers | 2 log(sum u'^8 / sum u^8), from -3 to 3: how the other loaded links fare |

`moves` is `lookahead` for an episode whose links may also get cheaper (`policy.episode`): links with u / U < 0.5 offer
to fall to the next weight at which their router routes otherwise; all others, and those that cannot fall, to rise by
one. `after` and `after_powers` tell what would come of the offer, and

| column | value |
|---|---|
| move | log(weight offered / w), from -3 to 3 |

Each router works this out for its own links, which is what many routers can share: a central engine pays for all.

`paper` is that of paper 003: u and w / 12.

The numbers of the whole network (maxima, means) are summed over all links in ascending order, so they are the same
whichever links are asked for. Everything is float64 arithmetic without a math library (`policy.portable`), rounded to
float32 once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policy.portable import log
from routing.jit import njit

FEATURE_SETS: dict[str, tuple[str, ...]] = {
    "default": (
        "relative_utilization",
        "log_weight",
        "log_capacity",
        "time",
        "log_mlu",
        "recency",
        "actions",
        "change",
        "shifted_share",
        "mean_relative_utilization",
        "weight",
        "near_maximum",
    ),
    "paper": ("utilization", "weight"),
}
FEATURE_SETS["lookahead"] = (*FEATURE_SETS["default"], "after", "after_powers")
FEATURE_SETS["moves"] = (*FEATURE_SETS["lookahead"], "move")
LOOKING_AHEAD = ("lookahead", "moves")

# Places in `numbers`, what is known of the network as a whole.
MLU, BEST_MLU, MEAN_RELATIVE, MEAN_WEIGHT, TIME = range(5)
NUMBERS = 5

HOT = 0.5  # u / U from which on a link offers to rise, and the effect of that is looked at

NEVER = -1  # in `chosen_at`

_FADE = 0.8187307530779818  # exp(-1/5)
_REMEMBERED = 100  # steps after which an action is forgotten: exp(-20)


def _fading() -> NDArray[np.float64]:
    powers = [1.0]
    for _ in range(_REMEMBERED):
        powers.append(powers[-1] * _FADE)  # products in a fixed order, so no math library's exp
    return np.array(powers)


RECENCY = _fading()


def log_capacity(capacity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(capacity / mean), (L,) float64: constant over an episode."""
    out = np.empty(len(capacity), dtype=np.float64)
    _log_capacity(np.array(capacity, dtype=np.float64), out)
    return out


@njit("void(f8[::1], f8[::1])")
def _log_capacity(capacity: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    total = 0.0
    for link in range(len(capacity)):
        total += capacity[link]
    for link in range(len(capacity)):
        out[link] = log(capacity[link] / (total / len(capacity)))


@njit("void(i8[::1], f8[::1], i8[::1], f8[::1], f8[::1], f8[::1])")
def observe(
    load: NDArray[np.int64],
    capacity: NDArray[np.float64],
    weights: NDArray[np.int64],
    relative: NDArray[np.float64],
    change: NDArray[np.float64],
    numbers: NDArray[np.float64],
) -> None:
    """Bring the network's numbers up to date after the loads changed.

    load : (L,) quanta; capacity : (L,) quanta; weights : (L,)
    relative, change : (L,) u / U and its change, updated in place
    numbers : MLU, MEAN_RELATIVE and MEAN_WEIGHT are written
    """
    links = len(load)
    mlu = 0.0
    for link in range(links):
        utilization = load[link] / capacity[link]
        change[link] = utilization  # for the moment
        mlu = utilization if utilization > mlu else mlu
    total = 0.0
    weight = 0
    for link in range(links):
        now = change[link] / mlu if mlu > 0.0 else 0.0
        change[link] = now - relative[link]
        relative[link] = now
        total += now
        weight += weights[link]
    numbers[MLU] = mlu
    numbers[MEAN_RELATIVE] = total / links
    numbers[MEAN_WEIGHT] = weight / links


@njit("void(i4[::1], i8[::1], f8[::1], f8[::1], f8[::1], i8[::1], i8[::1], f8[::1], i8, f8[::1], f8[::1], f4[:, ::1])")
def default_features(
    links: NDArray[np.int32],
    weights: NDArray[np.int64],
    relative: NDArray[np.float64],
    change: NDArray[np.float64],
    log_capacities: NDArray[np.float64],
    chosen_at: NDArray[np.int64],
    chosen: NDArray[np.int64],
    shares: NDArray[np.float64],
    step: int,
    numbers: NDArray[np.float64],
    recency: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write the `default` features, the first 12 columns of `out`, of `links` (n,) before step `step`.

    shares : (n,), of these links; chosen_at : (L,) step in which a link was chosen last, or NEVER; chosen : (L,) how
    often
    recency : `RECENCY`; all else : (L,) as in `observe`
    """
    log_mlu = 0.0
    if numbers[BEST_MLU] > 0.0:
        log_mlu = 10.0 * log(numbers[MLU] / numbers[BEST_MLU])
        log_mlu = 5.0 if log_mlu > 5.0 else log_mlu
    for i in range(len(links)):
        link = links[i]
        weight = np.float64(weights[link])
        actions = np.float64(chosen[link])
        age = step - 1 - chosen_at[link]
        out[i, 0] = relative[link]
        out[i, 1] = log(weight / numbers[MEAN_WEIGHT])
        out[i, 2] = log_capacities[link]
        out[i, 3] = numbers[TIME]
        out[i, 4] = log_mlu
        out[i, 5] = recency[age] if chosen_at[link] != NEVER and age < len(recency) else 0.0
        out[i, 6] = actions / (actions + 5.0)
        out[i, 7] = change[link]
        out[i, 8] = shares[i]
        out[i, 9] = numbers[MEAN_RELATIVE]
        out[i, 10] = weight / (weight + 10.0)
        out[i, 11] = 1.0 if relative[link] >= 0.99 else 0.0


@njit("void(i4[::1], i8[::1], i8[::1], f8[::1], f4[:, ::1])")
def paper_features(
    links: NDArray[np.int32],
    weights: NDArray[np.int64],
    load: NDArray[np.int64],
    capacity: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write the `paper` features (n, 2) of `links` (n,); load, capacity : (L,) quanta."""
    for i in range(len(links)):
        out[i, 0] = load[links[i]] / capacity[links[i]]
        out[i, 1] = weights[links[i]] / 12.0


@njit("void(f8[:, ::1], f4[:, ::1])")
def lookahead_features(effects: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write columns 12 and 13 of the `lookahead` features (n, 14) from `RoutingState.what_if`, effects (n, 2)."""
    for i in range(effects.shape[0]):
        for column in range(2):
            value = (10.0 if column == 0 else 2.0) * log(effects[i, column])
            value = 3.0 if value > 3.0 else value
            out[i, 12 + column] = -3.0 if value < -3.0 else value


@njit("void(i4[::1], i8[::1], i8[::1], f8[::1], i8, i8[::1])")
def offers(
    links: NDArray[np.int32],
    weights: NDArray[np.int64],
    lowered: NDArray[np.int64],
    relative: NDArray[np.float64],
    highest: int,
    out: NDArray[np.int64],
) -> None:
    """Write what each of `links` (n,) offers with `moves`: (n,); lowered : (n,), from `RoutingState.lowered`."""
    for i in range(len(links)):
        weight = weights[links[i]]
        falls = relative[links[i]] < HOT and lowered[i] < weight
        out[i] = lowered[i] if falls else min(weight + 1, highest)


@njit("void(i8[::1], i8[::1], f4[:, ::1])")
def move_feature(weights: NDArray[np.int64], offered: NDArray[np.int64], out: NDArray[np.float32]) -> None:
    """Write the last column of the `moves` features (n, 15); weights : now, offered : if the link is chosen, (n,)."""
    for i in range(len(weights)):
        value = log(np.float64(offered[i]) / np.float64(weights[i]))
        value = 3.0 if value > 3.0 else value
        out[i, 14] = -3.0 if value < -3.0 else value
