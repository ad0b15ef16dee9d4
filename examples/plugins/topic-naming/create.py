"""Creates a topic as a program does: create.py BOOTSTRAP TOPIC [CONFIG=VALUE...]. Prints the refusal, or `created`."""

import sys

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

bootstrap, topic, *configs = sys.argv[1:]
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
try:
    configs = dict(config.split("=", 1) for config in configs)
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1, topic_configs=configs)])
    print("created")
except KafkaError as error:
    print(f"{type(error).__name__}: {error}")
finally:
    admin.close()
