"""What a run reports: the records of ``summary.json``, ``manifest.json``, ``steps.jsonl`` and ``links.csv``.

The keys are the file formats: scripts read them, so they only ever grow. Utilization is a fraction of capacity and
may exceed 1; rates are bit/s; times are seconds. None stands for "not measured", never for zero.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0.0)]
Weight = Annotated[int, Meta(ge=1, le=65535)]
Status = Literal["committed", "kept", "aborted"]


class Level(Struct, frozen=True, kw_only=True):
    """A maximum link utilization (fraction): what the model says, and what the counters said (None: not measured)."""

    predicted: Amount
    measured: Amount | None = None


class Mlu(Struct, frozen=True, kw_only=True):
    """MLU with the live costs, with the costs the run left behind, and at the episode's start (step 0)."""

    before: Level
    after: Level
    start: Level | None = None


class Agreement(Struct, frozen=True, kw_only=True):
    """The digest all routers ended on, in hex (None: no common one), and how many routers reported it."""

    digest: str | None
    routers: Count


class Ospf(Struct, frozen=True, kw_only=True):
    """What became of the costs; None where there was no OSPF to ask (loopback). `routes_verified` is [ok, total]."""

    costs_changed: Count
    lsdb_verified: bool | None = None
    routes_verified: tuple[Count, Count] | None = None


class Overhead(Struct, frozen=True, kw_only=True):
    """What the optimisation cost. None: not counted.

    `..._per_link`: the agents' traffic in the last attempt, mean over directed links. `bytes_per_link` is UDP payload
    with header and tag, and the sum of the hidden-state, sharing and control bytes; `wire_bytes_per_link` adds UDP, IP
    and Ethernet headers. `repeated_...` are what was sent once more, among the rest. Nothing of MQTT is in these.

    `mqtt_..._per_router`: what passed between coordinator and agents over MQTT, both ways, mean over routers, from the
    first `Start` to the end, all attempts. Bytes are topic and payload of each PUBLISH, once for each router that
    it goes to or comes from (not the headers of MQTT, TLS and TCP, nor acknowledgements; `coordinator.overhead`);
    `mqtt_start_bytes_per_router` is the `Start` among them, which carries the traffic matrix.
    """

    frames_per_link: Amount | None
    bytes_per_link: Amount | None
    hidden_state_bytes_per_link: Amount | None
    sharing_bytes_per_link: Amount | None
    control_bytes_per_link: Amount | None
    wire_bytes_per_link: Amount | None
    repeated_frames_per_link: Amount | None = None
    repeated_bytes_per_link: Amount | None = None
    mqtt_bytes_per_router: Amount | None = None
    mqtt_start_bytes_per_router: Amount | None = None
    mqtt_messages_per_router: Amount | None = None


class Counted(Struct, frozen=True, kw_only=True):
    """All frames of the agents' lives and their bytes (UDP payload), over all links, by agents and by kernels."""

    agents_frames: Count
    agents_bytes: Count
    kernel_frames: Count
    kernel_bytes: Count

    @property
    def apart(self) -> float:
        """By which part of the agents' counts the kernels' differ, frames or bytes, whichever differ more."""
        return max(
            abs(self.kernel_frames - self.agents_frames) / max(self.agents_frames, 1),
            abs(self.kernel_bytes - self.agents_bytes) / max(self.agents_bytes, 1),
        )


class Computing(Struct, frozen=True, kw_only=True):
    """What the agents' processes took: seconds of processor time from the first step to the end of the episode.

    `share` is that of all agents over episode and cores, 1 where the machine did nothing else; `memory_bytes` is the
    mean of an agent's, shared pages in proportion; `rounds_per_s` counts exchanges of hidden states.
    """

    cpu_s_mean: Amount
    cpu_s_busiest: Amount
    cores: Count
    share: Amount
    memory_bytes: Amount
    rounds_per_s: Amount


class Outage(Struct, frozen=True, kw_only=True):
    """A link or router that failed while the agents decided, after `step`; times are seconds from the failure.

    `rerouted_s`: every router that is left forwards around it; `episode_ended_s`: the episode during which it happened
    was over; `committed_s`: every router forwards by new costs. None: not seen. Packets are those of the measured
    traffic, in the whole network, from before the episode to after it; `packets_dropped` of those lost were dropped by
    full queues. `mlu_unchanged` is predicted for what is left, under the costs of before.
    """

    what: str
    step: Count
    happened: bool
    rerouted_s: Amount | None
    episode_ended_s: Amount | None
    committed_s: Amount | None
    packets_sent: Count
    packets_lost: Count
    packets_dropped: Count
    mlu_unchanged: Amount | None


class Times(Struct, frozen=True, kw_only=True):
    """Wall-clock seconds; None for a phase the run did not reach."""

    bring_up: Amount | None
    episode: Amount | None
    commit: Amount | None
    total: Amount


class Summary(Struct, frozen=True, kw_only=True):
    """``summary.json``: one run's outcome. Unknown keys are ignored, so that old readers read newer runs.

    The episode had `steps` of the `planned` ones; after `patience` (0: any number) without a better state it was over.
    """

    topology: str
    fabric: str
    traffic: str
    load: Amount | None
    initial: str
    seed: int
    routers: Count
    links: Count
    status: Status
    reason: str
    steps: Count
    best_step: Count
    mlu: Mlu
    agreement: Agreement
    ospf: Ospf
    overhead: Overhead
    time_s: Times
    failure: Outage | None = None
    computing: Computing | None = None
    counted: Counted | None = None
    planned: Count | None = None
    patience: Count = 0


class Manifest(Struct, frozen=True, kw_only=True):
    """``manifest.json``: how a run was made. With `Inputs` it holds everything that `--replay` needs.

    `down` are the links that had failed when the episode began.
    """

    versions: dict[str, str]
    command: tuple[str, ...]
    started: str
    topology: str
    topology_digest: str
    traffic: str
    load: Amount | None
    initial: str
    seed: int
    episode: Count
    steps: Count
    opening: Annotated[int, Meta(ge=1)]
    temperature: Annotated[float, Meta(gt=0.0)]
    margin: Amount
    ecmp: bool
    share: str
    fabric: str
    checkpoint: str
    checkpoint_hash: str
    down: tuple[Count, ...] = ()
    patience: Count = 0


class StepRow(Struct, frozen=True):
    """One decision: at `step` (1..T) the weights of `links` (indices) grew by one, which left the network at `mlu`."""

    step: Annotated[int, Meta(ge=1)]
    links: Annotated[list[Count], Meta(min_length=1)]
    mlu: Amount


class LinkRow(Struct, frozen=True, kw_only=True):
    """One directed link. Utilization is a fraction; frames and bytes are what the agents sent over the link."""

    link: Count
    src: str
    dst: str
    capacity_bps: Annotated[float, Meta(gt=0.0)]
    weight_live: Weight
    weight_after: Weight
    utilization_before_predicted: Amount
    utilization_before_measured: Amount | None = None
    utilization_after_predicted: Amount
    utilization_after_measured: Amount | None = None
    frames: Count | None = None
    bytes: Count | None = None
    hidden_state_bytes: Count | None = None
    sharing_bytes: Count | None = None
    control_bytes: Count | None = None
    wire_bytes: Count | None = None
    repeated_frames: Count | None = None
    repeated_bytes: Count | None = None
    kernel_frames: Count | None = None
    kernel_bytes: Count | None = None

    @property
    def name(self) -> str:
        """``src->dst``."""
        return f"{self.src}->{self.dst}"
