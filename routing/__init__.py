"""The network model: topologies, traffic matrices and exact OSPF/ECMP routing."""
