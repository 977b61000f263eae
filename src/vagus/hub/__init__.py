"""Hubs: where topics live."""

from __future__ import annotations

from vagus.hub.address import connect
from vagus.hub.contract import (
    Acks,
    At,
    Cleanup,
    GroupInfo,
    Hub,
    Member,
    MemberInfo,
    PartitionInfo,
    Reader,
    Rebalanced,
    TopicConfig,
    TopicInfo,
    Transaction,
)
from vagus.hub.records import BytesColumn, FetchedRecords, Records, TopicPartition
from vagus.hub.registry import open_registry

__all__ = [
    "Acks",
    "At",
    "BytesColumn",
    "Cleanup",
    "FetchedRecords",
    "GroupInfo",
    "Hub",
    "Member",
    "MemberInfo",
    "PartitionInfo",
    "Reader",
    "Rebalanced",
    "Records",
    "TopicConfig",
    "TopicInfo",
    "TopicPartition",
    "Transaction",
    "connect",
    "open_registry",
]
