"""A member of a consumer group that a driver starts, commands and kills: ../README.md (groups).

What the Python clients share: the plan, the lines of events, the commands on standard input.
"""

import json
import queue
import sys
import threading


class Member:
    def __init__(self):
        self.plan = json.loads(sys.argv[1])
        self.commands = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in sys.stdin:
            self.commands.put(line.strip())
        self.commands.put("stop")  # The driver is gone.

    def command(self, wait=False):
        """The next command, or None."""
        try:
            return self.commands.get(block=wait)
        except queue.Empty:
            return None

    @staticmethod
    def event(name, **fields):
        sys.stdout.write(json.dumps({"e": name, **fields}) + "\n")
        sys.stdout.flush()

    def error(self, error):
        self.event("error", m=f"{type(error).__name__}: {error}")
