"""Addresses and names of the emulated network; its daemons' and kernels' configuration, which is made of them."""

from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise

import numpy as np
import pytest

from emulation import kernelconf
from emulation.addresses import LINK_PREFIX, AddressPlan
from emulation.frrconf import OspfTimers, ospfd_conf, zebra_conf
from routing.formats import load_topology
from routing.topology import Topology


def triangle(*names: str) -> Topology:
    nodes = names or ("a", "b", "c")
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)]
    return Topology.from_links("triangle", nodes, pairs, 1e6)


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_both_ends_of_a_link_share_a_subnet_and_no_address_is_used_twice(name: str) -> None:
    topology = load_topology(name)
    plan = AddressPlan(topology)
    used = [*plan.address, *plan.loopback]
    assert len(set(used)) == len(used)
    for link in range(topology.num_links):
        back = int(topology.reverse[link])
        ends = [IPv4Interface(f"{plan.address[end]}/{LINK_PREFIX}") for end in (link, back)]
        assert ends[0].network == ends[1].network
        assert plan.peer[link] == plan.address[back]
        assert ends[0].ip not in (ends[0].network.network_address, ends[0].network.broadcast_address)


@pytest.mark.parametrize("name", ["nsfnet", "gbn", "geant2"])
def test_next_hops_ascend_with_the_link_index_as_ospfd_sorts_them(name: str) -> None:
    topology = load_topology(name)
    plan = AddressPlan(topology)
    for node in range(topology.num_nodes):
        out = topology.out_links(node)
        hops = [IPv4Address(plan.peer[link]) for link in range(out.start, out.stop)]
        assert all(low < high for low, high in pairwise(hops))


def test_interfaces_say_which_routers_they_join_and_fit_the_kernel() -> None:
    plan = AddressPlan(triangle())
    assert plan.interface == ("r0-r1", "r0-r2", "r1-r0", "r1-r2", "r2-r0", "r2-r1")
    assert max(map(len, AddressPlan(load_topology("geant2")).interface)) <= 15


def test_host_names_are_one_word_each_and_different() -> None:
    plan = AddressPlan(triangle("São Paulo", "S_o_Paulo", "Köln"))
    assert plan.host == ("S_o_Paulo_0", "S_o_Paulo", "K_ln")


def test_ospfd_configuration_to_the_letter() -> None:
    assert ospfd_conf("Köln 2", "10.255.0.8", {"r7-r0": 5}, ecmp=False, timers=OspfTimers(2, 8, 3)) == (
        "hostname K-ln-2\n"
        "interface r7-r0\n"
        " ip ospf area 0\n"
        " ip ospf network point-to-point\n"
        " ip ospf cost 5\n"
        " ip ospf hello-interval 2\n"
        " ip ospf dead-interval 8\n"
        " ip ospf retransmit-interval 3\n"
        "interface lo\n"
        " ip ospf area 0\n"
        " ip ospf passive\n"
        "router ospf\n"
        " ospf router-id 10.255.0.8\n"
        " timers throttle spf 0 50 500\n"
        " timers throttle lsa all 0\n"
        " timers lsa min-arrival 0\n"
        " maximum-paths 1\n"
    )
    assert " maximum-paths 16\n" in ospfd_conf("a", "10.255.0.1", {})


@pytest.mark.parametrize("cost", [0, 65536])
def test_a_cost_that_ospf_cannot_carry(cost: int) -> None:
    with pytest.raises(ValueError, match="of r0-r1"):
        ospfd_conf("a", "10.255.0.1", {"r0-r1": cost})


def test_zebra_has_no_kernel_next_hop_objects_and_a_long_queue() -> None:
    assert zebra_conf("1a") == "hostname r1a\nno zebra nexthop kernel enable\nzebra dplane limit 10000\n"


PORT = kernelconf.Port(3, "r1-r2", "10.0.0.9", 2.5e6)


def test_kernel_batches_to_the_letter() -> None:
    assert PORT.queue_packets == 130  # a quarter of a second of 600-byte frames
    assert kernelconf.ip_batch("10.255.0.2", [PORT]) == (
        "link set lo up\n"
        "addr add 10.255.0.2/32 dev lo\n"
        "addr add 10.0.0.9/30 dev r1-r2\n"
        "link set dev r1-r2 txqueuelen 130 up\n"
    )
    assert kernelconf.tc_batch([PORT]) == (
        "qdisc add dev r1-r2 root handle 1: tbf rate 2500000bit burst 3125 limit 196820\n"
        "qdisc add dev r1-r2 parent 1:1 handle 10: pfifo_fast\n"
    )
    assert kernelconf.veth_batch([("r0-r1", 7, "r1-r0", 9)]) == (
        "link add name r0-r1 netns 7 type veth peer name r1-r0 netns 9\n"
    )


def test_a_bucket_holds_two_frames_at_least() -> None:
    slow = kernelconf.Port(0, "r0-r1", "10.0.0.1", 1e5)
    assert " burst 3028 " in kernelconf.tc_batch([slow])


def test_rules_count_agents_per_link_and_send_them_first() -> None:
    rules = kernelconf.nft_rules([PORT], 5005, (10000, 14095))
    assert '    oifname "r1-r2" counter name link_3 return\n' in rules
    assert "    udp dport 5005 meta priority set 0:7 jump agents\n" in rules
    assert "    ip protocol ospf meta priority set 0:7\n" in rules
    assert "    udp dport 10000-14095 update @delivered { ip saddr } drop\n" in rules


def test_counters_are_read_by_link() -> None:
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "inet", "name": "link_3", "table": "lockstep", "packets": 2, "bytes": 99}},
            {"counter": {"family": "inet", "name": "other", "table": "lockstep", "packets": 5, "bytes": 5}},
        ]
    }
    assert kernelconf.named_counters(listing) == {3: (2, 99)}
    with pytest.raises(ValueError, match="expected a list"):
        kernelconf.named_counters({})


def test_each_router_hashes_by_ports_with_a_seed_of_its_own() -> None:
    assert kernelconf.sysctls(77)["net/ipv4/fib_multipath_hash_seed"] == "77"
    assert kernelconf.sysctls(77)["net/ipv4/fib_multipath_hash_policy"] == "1"


def test_too_many_routers_for_the_loopback_range() -> None:
    nodes = tuple(f"n{i}" for i in range(65535))
    star = np.array([(0, i) for i in range(1, 65535)] + [(i, 0) for i in range(1, 65535)])
    with pytest.raises(ValueError, match="at most 65534"):
        AddressPlan(Topology.from_links("star", nodes, star, 1.0))
