"""Kafka's wire protocol, driven by the message files inside the kafka-clients jar.

Purpose: an independent view of a broker. Nothing here shares code with the broker under
test: schemas come from the published jar (`common/message/*.json`), record batches are
parsed in `batches.py`. Every API and every version that the jar knows can be sent and read.

Unknown or missing request fields take the schema's default; an unknown key in the body is
an error, so that a typo in a test cannot pass unseen. Trailing bytes in a reply are an error.
"""

import json
import os
import re
import socket
import struct
import uuid
import zipfile


class WireError(Exception):
    """A reply that breaks the schema, or a connection that was closed."""


def _strip_comments(text):
    out = []
    for line in text.splitlines():
        in_string, cut = False, None
        for i, c in enumerate(line):
            if c == '"' and (i == 0 or line[i - 1] != "\\"):
                in_string = not in_string
            elif not in_string and line.startswith("//", i):
                cut = i
                break
        out.append(line if cut is None else line[:cut])
    return "\n".join(out)


def _versions(spec):
    if spec is None or spec == "none":
        return (1, 0)
    if spec.endswith("+"):
        return (int(spec[:-1]), 32767)
    if "-" in spec:
        low, high = spec.split("-")
        return (int(low), int(high))
    return (int(spec), int(spec))


def _within(version, interval):
    return interval[0] <= version <= interval[1]


class Reader:
    def __init__(self, data):
        self.data, self.pos = data, 0

    def take(self, n):
        if n < 0 or self.pos + n > len(self.data):
            raise WireError(f"{n} bytes wanted at {self.pos} of {len(self.data)}")
        self.pos += n
        return self.data[self.pos - n : self.pos]

    def num(self, fmt):
        return struct.unpack(">" + fmt, self.take(struct.calcsize(fmt)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise WireError("varint too long")

    def varint(self):
        raw = self.uvarint()
        return (raw >> 1) ^ -(raw & 1)


def uvarint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def varint(n):
    return uvarint((n << 1) ^ (n >> 63) if n < 0 else n << 1)


_NUM = {"bool": "?", "int8": "b", "int16": "h", "uint16": "H", "int32": "i",
        "uint32": "I", "int64": "q", "float64": "d"}


class Schema:
    """One message file: encodes and decodes every version of it."""

    def __init__(self, spec):
        self.spec = spec
        self.name = spec["name"]
        self.flexible = _versions(spec.get("flexibleVersions", "none"))
        self.valid = _versions(spec["validVersions"])
        self.structs = {s["name"]: s["fields"] for s in spec.get("commonStructs", [])}
        self._collect(spec["fields"])

    def _collect(self, fields):
        for field in fields:
            if field.get("fields"):
                self.structs[field["type"].removeprefix("[]")] = field["fields"]
                self._collect(field["fields"])

    def _live(self, field, version):
        return _within(version, _versions(field["versions"])) or _within(
            version, _versions(field.get("taggedVersions")))

    def _tagged(self, field, version):
        return _within(version, _versions(field.get("taggedVersions")))

    def _default(self, field):
        kind, default = field["type"], field.get("default")
        if default == "null":
            return None
        if kind.startswith("[]"):
            return []
        if kind == "string":
            return default or ""
        if kind in ("bytes", "records"):
            return b""
        if kind == "uuid":
            return str(uuid.UUID(int=0))
        if kind == "bool":
            return default in (True, "true")
        if kind == "float64":
            return float(default or 0)
        if kind in _NUM:
            return int(str(default), 0) if default not in (None, "") else 0
        return {}

    def encode(self, version, body):
        return self._encode_struct(self.spec["fields"], version, body)

    def _encode_struct(self, fields, version, body):
        body = dict(body or {})
        out, tags = bytearray(), []
        for field in fields:
            given = field["name"] in body
            value = body.pop(field["name"], None) if given else self._default(field)
            if not self._live(field, version):
                continue
            if self._tagged(field, version):
                if given and value != self._default(field):
                    tags.append((field["tag"], self._encode_value(field, field["type"], version, value)))
            else:
                out += self._encode_value(field, field["type"], version, value)
        if body:
            raise KeyError(f"{self.name}: no such field: {', '.join(body)}")
        if _within(version, self.flexible):
            out += uvarint(len(tags))
            for tag, data in sorted(tags):
                out += uvarint(tag) + uvarint(len(data)) + data
        return bytes(out)

    def _flex(self, field, version):
        return _within(version, _versions(field["flexibleVersions"])
                       if "flexibleVersions" in field else self.flexible)

    def _encode_value(self, field, kind, version, value):
        flex = self._flex(field, version)
        if kind.startswith("[]"):
            if value is None:
                return b"\0" if flex else struct.pack(">i", -1)
            out = bytearray(uvarint(len(value) + 1) if flex else struct.pack(">i", len(value)))
            for item in value:
                out += self._encode_value(field, kind[2:], version, item)
            return bytes(out)
        if kind in _NUM:
            return struct.pack(">" + _NUM[kind], value)
        if kind == "uuid":
            return uuid.UUID(str(value)).bytes
        if kind in ("string", "bytes", "records"):
            if value is None:
                return b"\0" if flex else (struct.pack(">h", -1) if kind == "string" else struct.pack(">i", -1))
            data = value.encode() if isinstance(value, str) else value
            if flex:
                return uvarint(len(data) + 1) + data
            return struct.pack(">h" if kind == "string" else ">i", len(data)) + data
        fields = self.structs[kind]
        if value is None:
            return b"\xff"
        prefix = b"\x01" if _within(version, _versions(field.get("nullableVersions"))) and not field[
            "type"].startswith("[]") else b""
        return prefix + self._encode_struct(fields, version, value)

    def decode(self, version, data):
        reader = Reader(data)
        body = self._decode_struct(self.spec["fields"], version, reader)
        if reader.pos != len(data):
            raise WireError(f"{self.name} v{version}: {len(data) - reader.pos} trailing bytes")
        return body

    def _decode_struct(self, fields, version, reader):
        out = {}
        for field in fields:
            if self._live(field, version):
                out[field["name"]] = (self._default(field) if self._tagged(field, version)
                                      else self._decode_value(field, field["type"], version, reader))
        if _within(version, self.flexible):
            by_tag = {f["tag"]: f for f in fields if "tag" in f and self._tagged(f, version)}
            for _ in range(reader.uvarint()):
                tag = reader.uvarint()
                part = Reader(reader.take(reader.uvarint()))
                if tag not in by_tag:
                    out[f"unknown tag {tag}"] = part.data.hex()
                    continue
                field = by_tag[tag]
                out[field["name"]] = self._decode_value(field, field["type"], version, part)
                if part.pos != len(part.data):
                    raise WireError(f"{self.name}.{field['name']}: trailing bytes in tag {tag}")
        return out

    def _decode_value(self, field, kind, version, reader):
        flex = self._flex(field, version)
        nullable = _within(version, _versions(field.get("nullableVersions")))
        where = f"{self.name}.{field['name']} v{version}"
        if kind.startswith("[]"):
            count = reader.uvarint() - 1 if flex else reader.num("i")
            if count < 0:
                return self._null(nullable, where)
            if count > len(reader.data) - reader.pos and kind[2:] not in self.structs:
                raise WireError(f"{where}: {count} elements do not fit")
            return [self._decode_value(field, kind[2:], version, reader) for _ in range(count)]
        if kind in _NUM:
            return reader.num(_NUM[kind])
        if kind == "uuid":
            return str(uuid.UUID(bytes=bytes(reader.take(16))))
        if kind in ("string", "bytes", "records"):
            if flex:
                size = reader.uvarint() - 1
            else:
                size = reader.num("h" if kind == "string" else "i")
            if size < 0:
                # Arrays carry the nullability of their own; elements of them are never null.
                return self._null(nullable or kind == "records", where)
            data = bytes(reader.take(size))
            return data.decode() if kind == "string" else data
        if nullable and not field["type"].startswith("[]"):
            marker = reader.num("b")
            if marker < 0:
                return None
        return self._decode_struct(self.structs[kind], version, reader)

    @staticmethod
    def _null(nullable, where):
        if not nullable:
            raise WireError(f"{where}: null where the schema forbids it")
        return None


class Protocol:
    """All request/response schemas of one kafka-clients jar."""

    def __init__(self, jar):
        self.requests, self.responses, self.keys = {}, {}, {}
        with zipfile.ZipFile(jar) as archive:
            for path in archive.namelist():
                if not re.match(r"common/message/.*(Request|Response)\.json$", path):
                    continue
                spec = json.loads(_strip_comments(archive.read(path).decode()))
                if spec.get("validVersions") == "none" or "apiKey" not in spec:
                    continue
                name = re.sub(r"(Request|Response)$", "", spec["name"])
                side = self.requests if spec["type"] == "request" else self.responses
                side[name] = Schema(spec)
                self.keys[name] = spec["apiKey"]


def default_protocol():
    """The schemas of the jar that the run script names."""
    return Protocol(os.environ["KAFKA_CLIENTS_JAR"])


class Connection:
    """One TCP connection: requests in, decoded replies out, in order."""

    def __init__(self, bootstrap, protocol, timeout=20, client_id="wire"):
        host, port = bootstrap.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=timeout)
        self.protocol, self.client_id, self.correlation = protocol, client_id, 0

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def frame(self, api, version, body, correlation=0):
        """The bytes of a request, length prefix included. `body`: fields, or raw bytes."""
        schema = self.protocol.requests[api]
        header = struct.pack(">hhi", self.protocol.keys[api], version, correlation)
        client = self.client_id.encode()
        header += struct.pack(">h", len(client)) + client
        if _within(version, schema.flexible):
            header += b"\0"
        payload = header + (body if isinstance(body, bytes) else schema.encode(version, body))
        return struct.pack(">i", len(payload)) + payload

    def send_raw(self, data):
        self.sock.sendall(data)

    def receive_raw(self):
        """One frame without its length; None when the peer closed the connection."""
        head = self._exactly(4)
        return None if head is None else self._exactly(struct.unpack(">i", head)[0])

    def _exactly(self, size):
        chunks, left = [], size
        while left:
            try:
                chunk = self.sock.recv(min(left, 1 << 20))
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)

    def request(self, api, version, body=None):
        self.correlation += 1
        self.send_raw(self.frame(api, version, body or {}, self.correlation))
        reply = self.receive_raw()
        if reply is None:
            raise WireError(f"{api} v{version}: connection closed")
        return self.decode(api, version, reply)

    def decode(self, api, version, reply):
        schema = self.protocol.responses[api]
        correlation = struct.unpack(">i", reply[:4])[0]
        if correlation != self.correlation:
            raise WireError(f"{api}: correlation id {correlation}, expected {self.correlation}")
        rest = reply[4:]
        if _within(version, schema.flexible) and api != "ApiVersions":
            reader = Reader(rest)
            for _ in range(reader.uvarint()):
                reader.uvarint()
                reader.take(reader.uvarint())
            rest = rest[reader.pos:]
        return schema.decode(version, rest)
