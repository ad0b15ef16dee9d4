"""Writes a reading with the timestamp of eight days ago."""

import sys
import time

from kafka import KafkaProducer

bootstrap, topic = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=bootstrap)
then = int(time.time() * 1000) - 8 * 24 * 60 * 60 * 1000
producer.send(topic, value=b'{"tenant":"old","n":1}', timestamp_ms=then).get(timeout=30)
producer.close()
