"""A shop: six services that own their data, and know of each other only through events."""
