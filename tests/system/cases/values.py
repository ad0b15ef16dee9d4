"""Topic configs: values that must be refused and values that must be taken."""

BAD_VALUES = {
    "cleanup.policy": "maybe", "compression.type": "rar", "compression.gzip.level": "12", "compression.lz4.level": "99",
    "compression.zstd.level": "100", "delete.retention.ms": "-1", "file.delete.delay.ms": "x", "flush.messages": "0",
    "flush.ms": "-1", "index.interval.bytes": "-1", "local.retention.bytes": "-3", "local.retention.ms": "-3",
    "max.compaction.lag.ms": "0", "max.message.bytes": "-1", "message.timestamp.after.max.ms": "-1",
    "message.timestamp.before.max.ms": "-1", "message.timestamp.type": "Sometimes", "min.cleanable.dirty.ratio": "1.5",
    "min.compaction.lag.ms": "-1", "min.insync.replicas": "0", "preallocate": "1", "remote.storage.enable": "yes",
    "retention.bytes": "1.5", "retention.ms": "-2", "segment.bytes": "1000", "segment.index.bytes": "3",
    "segment.jitter.ms": "-1", "segment.ms": "0", "unclean.leader.election.enable": "2",
    "leader.replication.throttled.replicas": "nonsense", "no.such.config": "1",
}
GOOD_VALUES = {
    "cleanup.policy": "compact,delete", "compression.type": "zstd", "compression.gzip.level": "9",
    "delete.retention.ms": "1000", "file.delete.delay.ms": "1000", "index.interval.bytes": "1024",
    "max.message.bytes": "2000", "message.timestamp.after.max.ms": "1000", "message.timestamp.type": "LogAppendTime",
    "min.insync.replicas": "2", "retention.bytes": "1000000", "retention.ms": " 1000 ", "segment.bytes": "1048576",
    "segment.ms": "60000", "unclean.leader.election.enable": "TRUE",
}
