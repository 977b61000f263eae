"""Vagus."""
