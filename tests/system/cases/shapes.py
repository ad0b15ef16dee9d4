"""What holds for every API alike: each version asked with nothing in it, and with bytes that do not fit its schema."""

import struct

import wire

# Fields that an ordinary request of nothing still needs: without them Kafka races with its clock, or refuses first.
ORDINARY = {
    "ApiVersions": {"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1.0"},
    "CreatePartitions": {"TimeoutMs": 10000},
    "CreateTopics": {"timeoutMs": 10000},
    "DeleteRecords": {"TimeoutMs": 10000},
    "DeleteTopics": {"TimeoutMs": 10000},
    "DescribeTopicPartitions": {"Topics": [{"Name": "no-such-topic"}]},
    "Fetch": {"SessionEpoch": -1},
    "DescribeAcls": {"ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1},
    "FindCoordinator": {"KeyType": 9},
    "InitProducerId": {"TransactionalId": None, "TransactionTimeoutMs": 60000},
    "Metadata": {"Topics": []},
    "Produce": {"Acks": -1, "TimeoutMs": 5000},
}
# Kafka lists what it has: its own internal topics and groups are not ours.
LISTS_EVERYTHING = {"DescribeLogDirs", "ListConfigResources", "DescribeQuorum", "ListGroups"}


def body(b, api, version):
    """The encoded ordinary request, and its fields of this version in order."""
    schema = b.protocol.requests[api]
    fields = {k: v for k, v in ORDINARY.get(api, {}).items()}
    return schema, schema.encode(version, fields)


def live(schema, version):
    return [f for f in schema.spec["fields"] if wire._within(version, wire._versions(f["versions"])) and not schema._tagged(f, version)]


def with_array(schema, version, fields, head):
    """The request with another length in front of its first array, or None if it has none."""
    out = b""
    for field in live(schema, version):
        if field["type"].startswith("[]"):
            return out + head, field
        value = fields.get(field["name"], schema._default(field))
        out += schema._encode_value(field, field["type"], version, value)
    return None, None


def shapes(b, served):
    for api, (low, high) in sorted(served.items()):
        for version in range(low, high + 1):
            schema, data = body(b, api, version)
            flexible = wire._within(version, schema.flexible)
            if api not in LISTS_EVERYTHING:
                b.ask(f"{api} v{version} of nothing", api, version, data)
                b.ask(f"{api} v{version} with bytes after its end", api, version, data + b"\0\1\2\3")
                if flexible:
                    b.ask(f"{api} v{version} with an unknown tag", api, version, data[:-1] + b"\1\x64\3abc")
                    b.ask(f"{api} v{version} with a tag that ends early", api, version, data[:-1] + b"\1\x64\x7fabc")
            if data:
                b.ask(f"{api} v{version} cut short", api, version, data[:-1])
            null, field = with_array(schema, version, ORDINARY.get(api, {}), b"\0" if flexible else struct.pack(">i", -1))
            if field is None:
                continue
            nullable = wire._within(version, wire._versions(field.get("nullableVersions")))
            if not nullable:
                b.ask(f"{api} v{version} with null for its array", api, version, null + b"\0" * 64)
            huge = wire.uvarint(1 << 31) if flexible else struct.pack(">i", 0x7FFFFFFF)
            b.ask(f"{api} v{version} with an array of 2^31", api, version, with_array(schema, version, ORDINARY.get(api, {}), huge)[0])
