"""Hubs: where topics live."""
