"""How long an episode has waited, and when to ask again or to give up: the clock of one router's episode."""

from __future__ import annotations

from dataclasses import dataclass

from agent.patience import Patience
from agent.phase import Phase
from agent.run import EpisodeRun


@dataclass(frozen=True)
class Timing:
    """Periods in seconds. The defaults suit tens of Pythons on two cores, where scheduling gaps of 0.1 s happen."""

    hello_s: float = 0.33
    dead_s: float = 1.5
    repeat_first_s: float = 0.1
    repeat_min_s: float = 0.006
    repeat_lossy_s: float = 0.002  # instead, where frames are lost
    repeat_max_s: float = 0.5
    stall_s: float = 10.0
    doubt_s: float = 1.0  # others notice a fault within a hello; who goes back then does so at once, and OSPF shows it


class Waiting:
    """Waits of one router, from episode to episode.

    Parameters
    ----------
    timing : periods
    now : the clock

    Attributes
    ----------
    repeat_at : when to ask again
    episode_s, commit_s : up to the last step and from it on, of the episode
    """

    def __init__(self, timing: Timing, now: float) -> None:
        self.repeat_at = now
        self.episode_s = self.commit_s = 0.0
        self._timing = timing
        self._began_at = self._prepared_at = self._moved_at = self._doubt_at = now
        self._moves = self._step = 0
        self._round_trips = 0  # that the present wait contains for sure
        limits = timing.repeat_min_s, timing.repeat_max_s, timing.repeat_lossy_s
        self._patience_in_rounds = Patience(timing.repeat_first_s, *limits)
        self._patience_in_passes = Patience(timing.repeat_first_s / 5, *limits)  # by then all have begun
        self._lossy = False  # as far as `repeat_at` knows
        self._patience = self._patience_in_rounds
        self._trip_s = 0.0  # of the slowest link, as far as it is known
        self._hops = 1  # to what the episode waits for: a neighbour, or up and down the tree

    def begin(self, run: EpisodeRun, trip_s: float, now: float) -> None:
        """Start the clock of an episode; `trip_s` is the longest round trip to a neighbour, as far as it is known."""
        self._began_at = self._prepared_at = self._moved_at = now
        self._moves = run.moves
        self._trip_s = trip_s
        self._wait(run, now)

    def update(self, run: EpisodeRun, now: float, *, stepped: bool) -> None:
        """Note what has been completed; `stepped`: a step was among it."""
        if stepped:
            self._prepared_at = now
        if run.moves != self._moves:
            self._moves = run.moves
            wait_s = now - self._moved_at
            self._patience.learn(wait_s, lossy=run.lossy)
            if self._round_trips:
                self._trip_s = min(self._trip_s, wait_s / self._round_trips)
            self._wait(run, now)
        elif run.lossy and not self._lossy:
            self._arm(run, self._moved_at)
        if run.conclusion.doubt and self._doubt_at < self._moved_at:
            self._doubt_at = now
        self.episode_s = self._prepared_at - self._began_at
        self.commit_s = now - self._prepared_at

    def stalls_at(self, run: EpisodeRun) -> float:
        """Return when to give up: late in doubt, where others decide, but soon after they must have decided."""
        end = run.conclusion
        if end.doubt:
            return self._doubt_at + self._timing.doubt_s
        return self._moved_at + (3 if end.in_doubt else 1) * self._timing.stall_s

    def waited_s(self, now: float) -> float:
        """Return for how long nothing was completed."""
        return now - self._moved_at

    def repeated(self, run: EpisodeRun, now: float) -> None:
        """Wait longer after having asked again."""
        self._patience.repeated()
        self._arm(run, now)

    def _wait(self, run: EpisodeRun, now: float) -> None:
        tree, exchanging = run.epoch.tree, run.phase is Phase.EXCHANGING
        self._moved_at = now
        self._hops = 1 if exchanging else tree.depth
        self._patience = self._patience_in_rounds if exchanging else self._patience_in_passes
        # What ends a round may have been on its way before it began. But the outcome of a pass goes through the root
        # and back, and what follows it needs the root's neighbours to hear of it.
        if tree.root == run.router:
            self._round_trips = int(run.state.step != self._step)
        else:
            self._round_trips = 0 if exchanging else tree.level(run.router)
        self._step = run.state.step
        self._arm(run, now)

    def _arm(self, run: EpisodeRun, now: float) -> None:
        self._lossy = run.lossy
        self.repeat_at = now + self._patience.limit_s(self._trip_s, self._hops, lossy=run.lossy)
