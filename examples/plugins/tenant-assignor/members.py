"""Two members of a group poll until they share all partitions: members.py BOOTSTRAP GROUP TOPIC... Prints what each has, one a line."""

import sys
import threading
import time

from kafka import KafkaConsumer

bootstrap, group, *topics = sys.argv[1:]
DEADLINE_S = 60
shares, done = [[], []], threading.Event()


def member(index):
    consumer = KafkaConsumer(*topics, bootstrap_servers=bootstrap, group_id=group, heartbeat_interval_ms=300)
    while not done.is_set():
        consumer.poll(timeout_ms=200)
        shares[index] = sorted((p.topic, p.partition) for p in consumer.assignment())
    consumer.close()


members = [threading.Thread(target=member, args=(index,)) for index in range(2)]
for thread in members:
    thread.start()
deadline = time.monotonic() + DEADLINE_S
# Both have something, and nobody has what the other has.
while not (all(shares) and len(shares[0] + shares[1]) == len({*shares[0], *shares[1]}) == 4 * len(topics)):
    if time.monotonic() > deadline:
        break
    time.sleep(0.05)
settled = sorted(list(share) for share in shares)
done.set()
for thread in members:
    thread.join()
for share in settled:
    print(" ".join(f"{topic}-{partition}" for topic, partition in share))
