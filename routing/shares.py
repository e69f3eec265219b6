"""Kernel: what an increment would move away from a link, seen from its own router. Arrays as in `routing.ecmp`."""

from __future__ import annotations

import numpy as np

from routing.ecmp import Float64, Int32, Int64
from routing.jit import njit


@njit("void(i4[::1], i4[::1], i4[::1], i8[::1], i4[:,::1], i8[:,::1], i8[::1], b1, i4[::1], f8[::1])")
def shifted_shares(
    out_ptr: Int32,
    src: Int32,
    dst: Int32,
    weights: Int64,
    distance: Int32,
    flow: Int64,
    load: Int64,
    ecmp: bool,
    links: Int32,
    shares: Float64,
) -> None:
    """For each of `links`, the share of its load that raising it by one would move to other links of its own router.

    It looks one hop far (a router can answer it from what it knows of its own rows): a next hop beside others loses
    all its traffic; a sole next hop keeps an equal share if other links are longer by exactly one.
    """
    for i in range(links.shape[0]):
        link = links[i]
        tail = src[link]
        moved = np.int64(0)
        for row in range(distance.shape[0]):
            amount = flow[row, tail]
            at = distance[row, tail]
            if amount == 0 or weights[link] + distance[row, dst[link]] != at:
                continue
            hops = 0
            nearly = 0
            rank = 0
            rank_nearly = 0
            for out in range(out_ptr[tail], out_ptr[tail + 1]):
                slack = weights[out] + distance[row, dst[out]] - at
                if slack == 0:
                    hops += 1
                    rank += out < link
                elif slack == 1:
                    nearly += 1
                    rank_nearly += out < link
            if hops == 1:
                if ecmp:
                    moved += amount - (amount + nearly - rank_nearly) // (nearly + 1)
                elif rank_nearly > 0:
                    moved += amount
            elif ecmp:
                moved += (amount + hops - 1 - rank) // hops
            elif rank == 0:
                moved += amount
        shares[i] = moved / load[link] if load[link] > 0 else 0.0
