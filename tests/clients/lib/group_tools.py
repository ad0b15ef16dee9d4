"""Kafka's command-line tools with groups: each action of kafka-consumer-groups, the consumers, and the configs."""

import re
import subprocess

from group_world import CACHE, JVM_SHORT, METADATA, until

TOOLS = "org.apache.kafka.tools."
RECORDS = 20  # Per partition of the topic.


class Tools:
    def __init__(self, world, version):
        self.world, self.version, self.client = world, version, f"tools-{version}"
        self.new = version != "3.9"
        self.topic = f"{world.run_id}-{self.client}"
        self.group = self.topic + "-group"

    def tool(self, name, *args):
        run = subprocess.run(["java", *JVM_SHORT, "-cp", f"{CACHE}/kafka-{self.version}/*", name if name.startswith("kafka.") else TOOLS + name,
                              "--bootstrap-server", self.world.bootstrap, *map(str, args)],
                             capture_output=True, text=True, timeout=90, check=False)
        text = run.stdout + "\n".join(l for l in run.stderr.splitlines() if not l.startswith(("SLF4J", "log4j:")))
        assert run.returncode == 0, f"exit code {run.returncode}: {text[:700]}"
        return text

    def groups(self, *args):
        return self.tool("consumer.group.ConsumerGroupCommand", *args)

    def run(self):
        self.partitions = self.world.create(self.topic, 2)
        self.world.write(self.partitions, RECORDS)
        steps = [self.consume, self.consume_new, self.perf, self.listed, self.described, self.members, self.dry_run, *self.resets(),
                 self.from_file, self.delete_offsets, self.delete, *([self.configs] if self.new else [])]
        for step in steps:
            self.check(step)

    def check(self, step):
        name = step.__doc__
        try:
            step()
            self.world.report.add(self.client, "g-tools", name, True)
        except Exception as error:
            where = f"{type(error).__name__}: {error}"[:900]
            self.world.report.add(self.client, "g-tools", name, False, where)
            print(f"!! {self.client}: {name}: {where}", flush=True)

    def consumed(self, group, *extra):
        out = self.tool("consumer.ConsoleConsumer",
                        "--topic", self.topic, "--group", group, "--from-beginning", "--max-messages", 2 * RECORDS,
                        "--timeout-ms", 30000, *extra)
        assert len(re.findall(r"^v$", out, re.M)) == 2 * RECORDS, out[:600]
        assert self.at(group) == [RECORDS, RECORDS], self.world.committed(group)

    def at(self, group=None):
        """The committed offsets of the partitions, in order."""
        found = self.world.committed(group or self.group)
        return [found.get(p, (None,))[0] for p in sorted(self.partitions)]

    def consume(self):
        """kafka-console-consumer --group, classic"""
        self.consumed(self.group)

    def consume_new(self):
        """kafka-console-consumer --group, group.protocol=consumer"""
        option = "--command-property" if self.new else "--consumer-property"
        self.consumed(self.group + "-new", option, "group.protocol=consumer")

    def perf(self):
        """kafka-consumer-perf-test, both protocols"""
        for protocol in ("classic", "consumer"):
            config = f"{self.world.work}/{self.client}-{protocol}.properties"
            with open(config, "w") as out:
                out.write(f"group.protocol={protocol}\nauto.offset.reset=earliest\n")
            option, count = ("--command-config", "--num-records") if self.new else ("--consumer.config", "--messages")
            out = self.tool("ConsumerPerformance", "--topic", self.topic, "--group", f"{self.group}-perf-{protocol}",
                            option, config, count, 2 * RECORDS, "--timeout", 30000)
            row = [line.split(", ") for line in out.splitlines() if re.match(r"\d{4}-", line)]
            assert row and int(row[-1][4]) == 2 * RECORDS, out[:600]

    def listed(self):
        """kafka-consumer-groups --list, --state, --type"""
        out = self.groups("--list")
        assert self.group in out.split(), out
        assert re.search(rf"^{self.group}\s+Empty\s*$", self.groups("--list", "--state"), re.M)
        assert self.group in self.groups("--list", "--state", "empty")
        assert self.group not in self.groups("--list", "--state", "stable").split()
        out = self.groups("--list", "--type", "consumer")
        assert f"{self.group}-new" in out and not re.search(rf"^{self.group}\s", out, re.M), out
        assert re.search(rf"^{self.group}\s", self.groups("--list", "--type", "classic"), re.M)

    def described(self):
        """kafka-consumer-groups --describe: offsets and state of an empty group"""
        out = self.groups("--describe", "--group", self.group)
        assert "has no active members" in out, out
        for partition in (0, 1):
            assert re.search(rf"{self.group}\s+{self.topic}\s+{partition}\s+(\S+\s+)??{RECORDS}\s+{RECORDS}\s+0\s", out), out
        out = self.groups("--describe", "--group", self.group, "--state")
        assert re.search(rf"{self.group}\s.*\sEmpty\s.*0\s*$", out, re.M), out

    def members(self):
        """kafka-consumer-groups --describe --members --verbose of running groups"""
        for protocol in ("classic", "consumer"):
            group = f"{self.group}-running-{protocol}"
            member = self.world.start("confluent", group, [self.topic], protocol=protocol)
            until(lambda: member.owned == self.partitions, lambda: f"it owns: {member}")
            until(lambda: self.world.committed(group), "it commits")
            out = self.groups("--describe", "--group", group, "--members", "--verbose")
            # 3.9 does not say the topic.
            assert member.name in out and re.search(rf"{self.topic}:0,1" if self.new else r"\(0,1\)", out), out
            out = self.groups("--describe", "--group", group, "--offsets", "--verbose")
            assert re.search(rf"{self.topic}\s.*{RECORDS}\s.*{member.name}", out), out
            assert re.search(rf"{group}\s.*Stable.*\s1\s*$", self.groups("--describe", "--group", group, "--state"), re.M)
            member.stop()

    def dry_run(self):
        """--reset-offsets --dry-run changes nothing; --export prints"""
        out = self.groups("--reset-offsets", "--group", self.group, "--topic", self.topic, "--to-earliest", "--dry-run")
        assert re.search(rf"{self.topic}\s+0\s+0", out), out
        assert self.at() == [RECORDS, RECORDS]
        out = self.groups("--reset-offsets", "--group", self.group, "--topic", self.topic, "--to-current", "--export", "--dry-run")
        assert re.search(rf'"?{self.topic}"?,0,{RECORDS}', out), out

    def resets(self):
        """One check per scenario of --reset-offsets, with the offsets that must come out."""
        scenarios = [
            (["--to-earliest"], [0, 0]), (["--to-latest"], [RECORDS, RECORDS]), (["--to-offset", 7], [7, 7]),
            (["--shift-by", 3], [10, 10]), (["--shift-by", -100], [0, 0]), (["--to-offset", 999], [RECORDS, RECORDS]),
            (["--to-datetime", "2020-01-01T00:00:00.000"], [0, 0]), (["--to-offset", 5], [5, 5]), (["--to-current"], [5, 5]),
            (["--to-datetime", "2099-01-01T00:00:00.000"], [RECORDS, RECORDS]), (["--by-duration", "P1D"], [0, 0])]

        def one(scenario, wanted):
            def step():
                self.groups("--reset-offsets", "--group", self.group, "--all-topics", *scenario, "--execute")
                assert self.at() == wanted, f"{self.at()}, expected {wanted}"
            step.__doc__ = f"--reset-offsets {' '.join(map(str, scenario))} --execute"
            return step

        # 3.9 runs fewer of them: each costs a JVM.
        return [one(*s) for s in (scenarios if self.new else scenarios[2:4])]

    def from_file(self):
        """--reset-offsets --from-file"""
        path = f"{self.world.work}/{self.client}.csv"
        with open(path, "w") as out:
            out.write(f"{self.topic},0,3\n{self.topic},1,4\n")
        self.groups("--reset-offsets", "--group", self.group, "--from-file", path, "--execute")
        assert self.at() == [3, 4], self.at()

    def delete_offsets(self):
        """--delete-offsets"""
        out = self.groups("--delete-offsets", "--group", self.group, "--topic", f"{self.topic}:1")
        assert re.search(rf"{self.topic}\s+1\s+Successful", out), out
        assert self.at() == [3, None], self.at()

    def delete(self):
        """--delete, of both kinds"""
        out = self.groups("--delete", "--group", self.group, "--group", self.group + "-new")
        assert "successful" in out, out
        assert self.world.group(self.group) is None and self.world.group(self.group + "-new") is None

    def configs(self):
        """kafka-configs --entity-type groups"""
        tool, group = "kafka.admin.ConfigCommand", self.group + "-configured"
        self.tool(tool, "--alter", "--entity-type", "groups", "--entity-name", group, "--add-config", "consumer.session.timeout.ms=9000")
        out = self.tool(tool, "--describe", "--entity-type", "groups", "--entity-name", group)
        assert "consumer.session.timeout.ms=9000" in out, out
        self.tool(tool, "--alter", "--entity-type", "groups", "--entity-name", group, "--delete-config", "consumer.session.timeout.ms")


def offsets_topic(world):
    """Kafka's own formatters read the offsets topic."""
    topic = f"{world.run_id}-formatted"
    groups = {"classic": topic + "-classic", "consumer": topic + "-consumer"}
    partitions = world.create(topic, 1)
    ends = world.write(partitions, 4)
    for protocol, group in groups.items():
        member = world.start("kafka-python" if protocol == "classic" else "confluent", group, [topic], protocol=protocol)
        until(lambda: member.committed == ends, lambda: f"committed: {member}")
        member.stop()
    tools = Tools(world, "4.2")

    def formatted(formatter):
        return tools.tool("consumer.ConsoleConsumer", "--topic", "__consumer_offsets", "--from-beginning", "--timeout-ms", 8000,
                          "--formatter", f"org.apache.kafka.tools.consumer.{formatter}")

    def commits():
        """OffsetsMessageFormatter shows the commits"""
        out = formatted("OffsetsMessageFormatter")
        for group in groups.values():
            lines = [l for l in out.splitlines() if f'"group":"{group}"' in l and f'"topic":"{topic}"' in l]
            assert lines and '"offset":4' in lines[-1] and METADATA in lines[-1], f"{group}: {lines[-1:]} {out[:500]}"

    def metadata():
        """GroupMetadataMessageFormatter shows the classic group"""
        out = formatted("GroupMetadataMessageFormatter")
        lines = [l for l in out.splitlines() if f'"group":"{groups["classic"]}"' in l]
        assert any('"protocol":"range"' in l and '"memberId"' in l for l in lines), f"{lines[:3]} {out[:500]}"
        assert '"members":[]' in lines[-1], lines[-1]

    for step in (commits, metadata):
        try:
            step()
            world.report.add("mixed", "g-offsets-topic", step.__doc__, True)
        except Exception as error:
            world.report.add("mixed", "g-offsets-topic", step.__doc__, False, f"{type(error).__name__}: {error}"[:900])
