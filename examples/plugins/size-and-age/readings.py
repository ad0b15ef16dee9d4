"""Sends two megabytes that are two hours old, then one record of now: readings.py BOOTSTRAP TOPIC. Prints the last one's offset."""

import sys
import time

from kafka import KafkaProducer

bootstrap, topic = sys.argv[1:]
now = int(time.time() * 1000)
producer = KafkaProducer(bootstrap_servers=bootstrap)
for _ in range(2100):
    producer.send(topic, b"o" * 1000, timestamp_ms=now - 2 * 3_600_000)
# The old ones are written before the new one is sent.
producer.flush()
print(producer.send(topic, b"n" * 1000, timestamp_ms=now).get(timeout=30).offset)
producer.close()
