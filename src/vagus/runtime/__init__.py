"""The runtime: topologies, tasks, their state, and the one cycle in which everything commits."""
