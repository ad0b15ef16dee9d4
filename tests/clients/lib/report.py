"""Results: one JSON line per check, the table client x feature, the final count."""

import json

# The columns, in the order they are shown.
FEATURES = [
    "create", "none", "gzip", "snappy", "lz4", "zstd", "keys", "tombstones", "headers", "null-header", "timestamps",
    "idempotence", "1MB", "read-start", "read-offset", "read-time", "describe", "partitions", "configs",
    "delete-records", "list-offsets", "cluster", "log-dirs", "delete", "errors", "tools", "cross",
    "g-join", "g-leave", "g-kill", "g-commit", "g-resume", "g-seek", "g-static", "g-reset", "g-pattern", "g-mixed",
    "g-migrate", "g-recreated", "g-tools", "g-offsets-topic", "g-broker",
]


class Report:
    def __init__(self):
        self.results = []

    def add(self, client, feature, name, ok, detail=""):
        assert feature in FEATURES, feature
        self.results.append((client, feature, name, bool(ok), str(detail)))

    def load(self, path, client):
        """Lines written by a client program. False when there is no complete file."""
        try:
            lines = [json.loads(line) for line in open(path)]
        except FileNotFoundError:
            lines = []
        done = False
        for line in lines:
            if line.get("done"):
                done = True
            else:
                self.add(client, line["feature"], line["name"], line["ok"], line.get("detail", ""))
        if not done:
            self.add(client, "errors", "the client program ran to its end", False, f"see {path}")
        return done

    def table(self, clients):
        columns = [f for f in FEATURES if any(r[1] == f for r in self.results)]
        width = max(len(c) for c in clients)
        lines = [" " * width + "  " + " ".join(columns)]
        for client in clients:
            cells = []
            for feature in columns:
                mine = [r[3] for r in self.results if r[0] == client and r[1] == feature]
                text = "-" if not mine else (f"{len(mine)}" if all(mine) else f"{mine.count(False)}!")
                cells.append(text.center(len(feature)))
            lines.append(client.ljust(width) + "  " + " ".join(cells))
        lines.append("number: checks passed; number!: checks FAILED; -: this client cannot, or was not selected")
        return "\n".join(lines)

    def finish(self, clients):
        failed = [r for r in self.results if not r[3]]
        print(self.table(clients))
        if failed:
            print("\nfailures:")
            for client, feature, name, _, detail in failed:
                print(f"  {client} [{feature}] {name}: {detail}")
        print()
        print(f"{len(self.results) - len(failed)} passed, {len(failed)} failed")
        return 1 if failed or not self.results else 0
