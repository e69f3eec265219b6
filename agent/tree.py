"""The tree pass: every router says something, the root combines it, and all hear the outcome; 2 (N - 1) frames in all.

All routers derive the same spanning tree from the topology and its members: breadth first from a centre, so that a
pass takes twice the radius. In a pass, a router sends up once it has its own contribution and its children's,
combined; the root's combination goes down. Passes are numbered and do not overlap: a child begins pass p+1 only after
its parent has told it the outcome of p, so it is at most one pass ahead.

The outcome acknowledges what went up. A router that waits for it repeats its own `Up` with `want` set; a parent that
has the outcome repeats it. So every lost frame is repeated by whoever waits for its consequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.messages import MAX_PART, MAX_PARTS, Down, Frame, MalformedFrame, Up
from routing.topology import Topology


@dataclass(frozen=True)
class Tree:
    """A spanning tree: `parent[r]` is -1 at the root; `depth` is its height."""

    root: int
    parent: tuple[int, ...]
    depth: int

    def level(self, router: int) -> int:
        """Hops from a router to the root."""
        return 0 if router == self.root else 1 + self.level(self.parent[router])

    def children(self, router: int) -> list[int]:
        """Children of a router, ascending."""
        return [child for child, parent in enumerate(self.parent) if parent == router]


def _breadth_first(topology: Topology, root: int) -> tuple[list[int], int]:
    """Return each node's parent on the way to `root` (neighbours in ascending order) and the eccentricity of `root`."""
    parent = [-1] * topology.num_nodes
    depth = [-1] * topology.num_nodes
    depth[root] = 0
    queue = deque([root])
    while queue:
        node = queue.popleft()
        for neighbour in topology.dst[topology.out_links(node)].tolist():
            if depth[neighbour] < 0:
                depth[neighbour] = depth[node] + 1
                parent[neighbour] = node
                queue.append(neighbour)
    return parent, max(depth)


def spanning_tree(topology: Topology) -> Tree:
    """Return the breadth-first tree from the node with the least eccentricity (the lowest index among several)."""
    height, root = min((_breadth_first(topology, node)[1], node) for node in range(topology.num_nodes))
    parent, _ = _breadth_first(topology, root)
    return Tree(root, tuple(parent), height)


class _Parts:
    """A payload that arrives in parts."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}
        self._expected = 0

    def add(self, part: int, parts: int, payload: bytes) -> None:
        if part >= parts or (self._expected and parts != self._expected):
            raise MalformedFrame(f"part {part} of {parts}")
        self._expected = parts
        self._parts.setdefault(part, payload)

    def whole(self) -> bytes | None:
        if not self._expected or len(self._parts) < self._expected:
            return None
        return b"".join(self._parts[part] for part in range(self._expected))


def split(payload: bytes) -> list[bytes]:
    """Cut a payload into parts that fit a frame (one empty part for nothing)."""
    parts = [payload[start : start + MAX_PART] for start in range(0, len(payload), MAX_PART)] or [b""]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(payload)} bytes are more than {MAX_PARTS} parts")
    return parts


@dataclass(frozen=True)
class Passing:
    """A payload on its way to a neighbour in the tree: an `Up` (`want`: its sender still waits) or a `Down`."""

    router: int
    upward: bool
    number: int
    payload: bytes
    want: bool = False
    again: bool = False

    def frames(self, episode: int, digest: bytes) -> list[Frame]:
        """Return the frames that carry it; `digest` is the short one of its step."""
        parts = split(self.payload)
        numbered = list(enumerate(parts))
        if self.upward:
            return [Up(episode, self.number, self.want, digest, i, len(parts), part) for i, part in numbered]
        return [Down(episode, self.number, digest, i, len(parts), part) for i, part in numbered]


class TreePass:
    """One router's place in the tree and the pass that is under way.

    `outbox` is a list of `Passing` that the caller sends in parts and clears.
    """

    def __init__(self, tree: Tree, router: int) -> None:
        self.parent = tree.parent[router]
        self.children = tree.children(router)
        self.number = -1  # of the pass that was begun last
        self.waiting = False
        self.outbox: list[Passing] = []
        self._own = b""
        self._combine: Callable[[Sequence[bytes]], bytes] = b"".join
        self._up: dict[int, dict[int, _Parts]] = {}  # number -> child -> parts
        self._down: dict[int, _Parts] = {}
        self._nonsense: MalformedFrame | None = None
        self._sent_up: bytes | None = None
        self._outcome: bytes | None = None  # of pass `number` while not waiting, else of the one before
        self._outcome_number = -1

    def begin(self, payload: bytes, combine: Callable[[Sequence[bytes]], bytes]) -> None:
        """Contribute to the next pass; `combine` merges own and children's payloads, the root's is the outcome."""
        if self.waiting:
            raise ValueError(f"pass {self.number} is not complete")
        self.number += 1
        self.waiting = True
        self._own = payload
        self._combine = combine
        self._sent_up = None
        self._forget(self.number)
        self._advance()

    def receive_up(self, child: int, number: int, part: int, parts: int, payload: bytes, want: bool) -> None:
        """Take a child's part."""
        if child not in self.children:
            raise MalformedFrame(f"router {child} is not a child")
        if number == self._outcome_number and want and self._outcome is not None and part == 0:
            self.outbox.append(Passing(child, False, number, self._outcome, again=True))
        current = self.number if self.waiting else self.number + 1
        if current <= number <= self.number + 1:
            self._up.setdefault(number, {}).setdefault(child, _Parts()).add(part, parts, payload)
            try:
                self._advance()
            except MalformedFrame as error:  # the parts fit, the whole makes no sense: nothing better will come
                self._nonsense = error

    def receive_down(self, sender: int, number: int, part: int, parts: int, payload: bytes) -> None:
        """Take a part of the outcome from the parent."""
        if sender != self.parent:
            raise MalformedFrame(f"router {sender} is not the parent")
        if number == self.number and self.waiting and self._sent_up is not None:
            self._down.setdefault(number, _Parts()).add(part, parts, payload)

    def outcome(self) -> bytes | None:
        """Return the pass's outcome once, when it is here, and pass it on to the children.

        Raises `MalformedFrame` if what has come cannot be combined.
        """
        if self._nonsense is not None:
            error, self._nonsense = self._nonsense, None
            raise error
        if self.waiting and self.parent >= 0 and self.number in self._down:
            whole = self._down[self.number].whole()
            if whole is not None:
                self._finish(whole)
                return whole
        elif self.waiting and self.parent < 0 and self._sent_up is not None:
            whole = self._sent_up
            self._finish(whole)
            return whole
        return None

    def repeat(self) -> None:
        """Ask the parent for the outcome again (the caller's timer ran out)."""
        if self.waiting and self.parent >= 0 and self._sent_up is not None:
            self.outbox.append(Passing(self.parent, True, self.number, self._sent_up, want=True, again=True))

    @property
    def spoken(self) -> bool:
        """Whether this router has said what its subtree has to say in the pass under way."""
        return self.waiting and self._sent_up is not None

    def missing(self) -> list[int]:
        """Routers that this one waits for: children that have not spoken, else the parent."""
        if not self.waiting:
            return []
        if self._sent_up is not None:
            return [self.parent] if self.parent >= 0 else []
        heard = self._up.get(self.number, {})
        return [child for child in self.children if child not in heard or heard[child].whole() is None]

    def _advance(self) -> None:
        """Send up when this router and its children have spoken."""
        if not self.waiting or self._sent_up is not None:
            return
        heard = self._up.get(self.number, {})
        payloads = [heard[child].whole() if child in heard else None for child in self.children]
        present = [payload for payload in payloads if payload is not None]
        if len(present) < len(self.children):
            return
        self._sent_up = self._combine([self._own, *present])
        if self.parent >= 0:
            self.outbox.append(Passing(self.parent, True, self.number, self._sent_up))

    def _finish(self, outcome: bytes) -> None:
        self.waiting = False
        self._outcome, self._outcome_number = outcome, self.number
        self.outbox.extend(Passing(child, False, self.number, outcome) for child in self.children)
        self._up.pop(self.number, None)
        self._down.pop(self.number, None)

    def _forget(self, number: int) -> None:
        for old in [n for n in self._up if n < number]:
            del self._up[old]
