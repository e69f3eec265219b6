"""OSPF as it comes, against the routing model and the published figures."""

from __future__ import annotations

import numpy as np
import pytest
from small_networks import ones, small_network

from baselines.ospf import given, inverse_capacity, unit
from baselines.result import Budget
from routing.errors import InputError
from routing.state import RoutingState
from routing.state import inverse_capacity as default_weights


@pytest.mark.parametrize("ecmp", [True, False])
def test_each_rule_sets_its_weights(ecmp: bool) -> None:
    topology, traffic = small_network(1, 6, 9)
    weights = np.random.default_rng(1).integers(1, 9, topology.num_links)
    expected = {given: weights, unit: ones(topology), inverse_capacity: default_weights(topology)}
    for method, setting in expected.items():
        result = method(topology, traffic, weights, Budget(), ecmp=ecmp)
        assert result.weights is not None
        np.testing.assert_array_equal(result.weights, setting)
        assert result.mlu == RoutingState(topology, traffic, setting, ecmp=ecmp).mlu
        assert [mlu for _, mlu in result.trace] == [result.mlu]
        assert (result.evaluations, dict(result.segments), result.bound) == (1, {}, None)


def test_weights_that_do_not_fit_are_the_users_mistake() -> None:
    topology, traffic = small_network(1, 4, 4)
    with pytest.raises(InputError, match="weights"):
        given(topology, traffic, [1, 2, 3], Budget())
