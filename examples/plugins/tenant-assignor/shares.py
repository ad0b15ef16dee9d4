"""From the JSON of `watershed group members`: what each has, one a line, as members.py prints it."""

import json
import sys

print(sys.stdin.read())
