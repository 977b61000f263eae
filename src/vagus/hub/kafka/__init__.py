"""Apache Kafka as a hub. Needs `pip install 'vagus[kafka]'`."""

from __future__ import annotations

from vagus.hub.kafka.hub import KafkaHub

__all__ = ["KafkaHub"]
