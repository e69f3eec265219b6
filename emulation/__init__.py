"""The main job: a network of OSPF routers that tune their own costs, its measurements and its report."""
