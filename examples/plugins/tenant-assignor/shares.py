"""From the JSON of `watershed group members`: what each has, one a line, as members.py prints it."""

import json
import sys

members = json.loads(sys.stdin.read() or "[]")
shares = sorted(sorted((topic, p) for topic, partitions in member["owned"] for p in partitions) for member in members)
for share in shares:
    print(" ".join(f"{topic}-{partition}" for topic, partition in share))
