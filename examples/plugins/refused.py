"""Sends one record that the broker has to refuse, and shows the refusal: refused.py BOOTSTRAP TOPIC PARTITION VALUE [KEY]."""

import sys

from kafka import KafkaProducer
from kafka.errors import KafkaError

bootstrap, topic, partition, value, *key = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=bootstrap, retries=0)
sent = producer.send(topic, value.encode(), key[0].encode() if key else None, partition=int(partition))
try:
    where = sent.get(timeout=30)
    sys.exit(f"it was accepted: {where}")
except KafkaError as error:
    print(f"{type(error).__name__}: {error}")
finally:
    producer.close(timeout=5)
