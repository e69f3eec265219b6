"""The commit as a state machine: all programs of a small network, struck in any order at any point, then healed."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from experiments.faults_lab import COORDINATOR, Lab
from experiments.faults_trial import good_episode_since, make_setting
from experiments.virtual_network import Impairment

SETTING = make_setting(0)
ROUTERS = st.integers(0, SETTING.topology.num_nodes - 1)
LINKS = st.integers(0, SETTING.topology.num_links - 1)


class CommitMachine(RuleBasedStateMachine):
    """Begins where the first router is about to set its costs; every rule is a fault, a healing, or some happenings."""

    @initialize(seed=st.integers(0, 50), loss=st.sampled_from([0.0, 0.05]))
    def begin(self, seed: int, loss: float) -> None:
        self.lab = Lab(SETTING, seed, impairment=Impairment(loss=loss)).__enter__()
        self.lab.auto = True  # not every matrix has something to commit
        self.lab.submit()
        assert self.lab.wait(lambda: bool(self.lab.truth.commits), 30.0)

    @rule(happenings=st.integers(1, 60))
    def go_on(self, happenings: int) -> None:
        reached = self.lab.world.happened + happenings
        self.lab.wait(lambda: self.lab.world.happened >= reached, 1.0)

    @rule(router=ROUTERS)
    def kill(self, router: int) -> None:
        self.lab.kill(router)

    @rule(router=ROUTERS)
    def boot(self, router: int) -> None:
        if self.lab.processes[router].dead:
            self.lab.boot(router)

    @rule(router=ROUTERS)
    def pause(self, router: int) -> None:
        if not self.lab.processes[router].dead:
            self.lab.pause(router)

    @rule(router=ROUTERS)
    def resume(self, router: int) -> None:
        self.lab.resume(router)

    @rule(link=LINKS)
    def cut(self, link: int) -> None:
        self.lab.wires.cut.add((int(SETTING.topology.src[link]), int(SETTING.topology.dst[link])))

    @precondition(lambda self: self.lab.wires.cut)
    @rule()
    def mend(self) -> None:
        self.lab.wires.cut.clear()

    @rule()
    def kill_the_coordinator(self) -> None:
        self.lab.kill(COORDINATOR)
        self.lab.boot(COORDINATOR)

    @rule(alive=st.booleans())
    def broker(self, alive: bool) -> None:
        if alive and not self.lab.broker.alive:
            self.lab.broker.restart()
        elif not alive and self.lab.broker.alive:
            self.lab.broker.die()

    @invariant()
    def nothing_is_violated(self) -> None:
        if hasattr(self, "lab"):
            assert self.lab.truth.violations == []

    def teardown(self) -> None:
        """Heal everything: an episode succeeds, and costs are all old or all new."""
        if not hasattr(self, "lab"):
            return
        lab = self.lab
        lab.wires.cut.clear()
        if not lab.broker.alive:
            lab.broker.restart()
        for router in range(SETTING.topology.num_nodes):
            lab.resume(router)
            if lab.processes[router].dead:
                lab.boot(router)
        lab.auto = True
        lab.wait(lambda: lab.processes[COORDINATOR].program is not None, 1.0)
        lab.submit()
        recovered = lab.wait(good_episode_since(lab, [lab.world.now]), 150.0)
        lab.auto = False
        lab.wait(lambda: lab.processes[COORDINATOR].program.protocol.idle, 150.0)
        lab.world.run_for(8.0)
        lab.truth.check_commits("after the healing")
        violations, failures = lab.truth.violations, lab.failures()
        lab.__exit__(None, None, None)
        assert recovered and violations == [] and failures == []


TestCommit = CommitMachine.TestCase
TestCommit.settings = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes; add Phase.shrink to look into a failure
    suppress_health_check=list(HealthCheck),
)
