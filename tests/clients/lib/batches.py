"""Record batches (magic 2) as they are stored: parsed and, for requests, built.

`parse` checks the CRC and yields one `Batch` per stored batch, so that a test sees the
codec bits, producer id and timestamp type that the broker really keeps.
"""

import struct
from dataclasses import dataclass, field

import cramjam
import crc32c

from wire import Reader, varint

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
_XERIAL = b"\x82SNAPPY\x00"


@dataclass
class Record:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list = field(default_factory=list)


@dataclass
class Batch:
    base_offset: int
    leader_epoch: int
    codec: str
    log_append_time: bool
    transactional: bool
    control: bool
    producer_id: int
    producer_epoch: int
    base_sequence: int
    max_timestamp: int
    records: list


def _unsnappy(data):
    if not data.startswith(_XERIAL):
        return bytes(cramjam.snappy.decompress_raw(data))
    out, pos = bytearray(), 16
    while pos < len(data):
        size = struct.unpack_from(">i", data, pos)[0]
        out += bytes(cramjam.snappy.decompress_raw(data[pos + 4 : pos + 4 + size]))
        pos += 4 + size
    return bytes(out)


def _inflate(codec, data):
    if codec == "none":
        return data
    if codec == "gzip":
        return bytes(cramjam.gzip.decompress(data))
    if codec == "snappy":
        return _unsnappy(data)
    if codec == "lz4":
        return bytes(cramjam.lz4.decompress(data))
    return bytes(cramjam.zstd.decompress(data))


def _blob(reader, size):
    return None if size < 0 else bytes(reader.take(size))


def parse(data):
    """All complete batches in `data` (a trailing partial batch is what Fetch may send)."""
    batches, pos = [], 0
    while pos + 61 <= len(data):
        base, length = struct.unpack_from(">qi", data, pos)
        end = pos + 12 + length
        if end > len(data):
            break
        (epoch, magic, crc, attributes, _last, base_ts, max_ts, pid, pepoch, seq, count) = struct.unpack_from(
            ">ibIhiqqqhii", data, pos + 12)
        assert magic == 2, f"magic {magic} at {base}"
        actual = crc32c.crc32c(data[pos + 21 : end])
        assert actual == crc, f"stored CRC {crc:08x}, computed {actual:08x} at offset {base}"
        codec = CODECS[attributes & 7]
        append_time = bool(attributes & 8)
        reader = Reader(_inflate(codec, data[pos + 61 : end]))
        records = []
        for _ in range(count):
            size = reader.varint()
            start = reader.pos
            reader.take(1)
            ts_delta, offset_delta = reader.varint(), reader.varint()
            key = _blob(reader, reader.varint())
            value = _blob(reader, reader.varint())
            headers = []
            for _ in range(reader.varint()):
                name = _blob(reader, reader.varint()).decode()
                headers.append((name, _blob(reader, reader.varint())))
            assert reader.pos - start == size, "record length"
            ts = max_ts if append_time else base_ts + ts_delta
            records.append(Record(base + offset_delta, ts, key, value, headers))
        batches.append(Batch(base, epoch, codec, append_time, bool(attributes & 16), bool(attributes & 32),
                             pid, pepoch, seq, max_ts, records))
        pos = end
    return batches


def record(key, value, *, offset_delta=0, time_delta=0, headers=(), attributes=0, length=None):
    """One record with its length in front. `length` makes that wrong on purpose; a header is (name, value) in bytes."""
    item = bytes([attributes]) + varint(time_delta) + varint(offset_delta)
    for blob in (key, value):
        item += varint(-1) if blob is None else varint(len(blob)) + blob
    item += varint(len(headers))
    for pair in headers:
        for blob in pair:
            item += varint(-1) if blob is None else varint(len(blob)) + blob
    return varint(len(item) if length is None else length) + item


def frame(body, *, timestamp, count, last_delta=None, max_timestamp=None, producer=(-1, -1, -1), attributes=0, magic=2, crc=None,
          base_offset=0, length=None):
    """One batch around `body`, the records as they are stored (compressed or not). The keywords make it wrong on purpose."""
    last_delta = count - 1 if last_delta is None else last_delta
    max_timestamp = timestamp if max_timestamp is None else max_timestamp
    tail = struct.pack(">hiqqqhii", attributes, last_delta, timestamp, max_timestamp, *producer, count) + body
    crc = crc32c.crc32c(bytes(tail)) if crc is None else crc
    rest = struct.pack(">ibI", -1, magic, crc) + tail
    return struct.pack(">qi", base_offset, len(rest) if length is None else length) + rest


def build(records, *, timestamp, count=None, **keywords):
    """One uncompressed batch. `records`: (key, value) pairs; the keywords are those of `frame`."""
    body = b"".join(record(key, value, offset_delta=i) for i, (key, value) in enumerate(records))
    keywords.setdefault("last_delta", len(records) - 1)
    return frame(body, timestamp=timestamp, count=len(records) if count is None else count, **keywords)


def compress(codec, data):
    """`data` as a producer stores it for a codec's number: 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
    if codec == 3:
        # A frame of one block, as Java and librdkafka write it: the library's own has dependent blocks, which Java cannot read.
        block = bytes(cramjam.lz4.compress_block(data, store_size=False))
        return bytes.fromhex("04224d18604082") + struct.pack("<I", len(block)) + block + struct.pack("<I", 0)
    library = {1: cramjam.gzip, 2: cramjam.snappy, 4: cramjam.zstd}[codec]
    return bytes(library.compress_raw(data) if codec == 2 else library.compress(data))


def stored(connection, topic, partition, start=0):
    """Every batch of a partition, read with plain Fetch requests (v12, names)."""
    out, offset = [], start
    while True:
        reply = connection.request("Fetch", 12, {
            "MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 64 << 20, "SessionEpoch": -1,
            "Topics": [{"Topic": topic, "Partitions": [
                {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 16 << 20}]}]})
        part = reply["Responses"][0]["Partitions"][0]
        assert part["ErrorCode"] == 0, f"Fetch {topic}-{partition}: error {part['ErrorCode']}"
        batches = parse(part["Records"] or b"")
        if not batches:
            return out
        out += batches
        offset = batches[-1].records[-1].offset + 1
