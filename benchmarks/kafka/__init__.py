"""Vagus on Kafka beside Kafka Streams and a bare client. `make bench-kafka` runs all of it."""
