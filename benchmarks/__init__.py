"""How fast Vagus is, and how near to what bounds it. `make bench` runs all of it."""
