import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** A member of a consumer group that a driver starts, commands and kills: ../README.md (groups). */
public final class Member implements ConsumerRebalanceListener {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration POLL = Duration.ofMillis(100);

    private final JsonNode plan;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final LinkedBlockingQueue<String> commands = new LinkedBlockingQueue<>();

    private Member(JsonNode plan) {
        this.plan = plan;
        Properties props = new Properties();
        props.put("bootstrap.servers", plan.get("bootstrap").asText());
        props.put("group.id", plan.get("group").asText());
        props.put("client.id", plan.get("name").asText());
        props.put("auto.offset.reset", plan.get("reset").asText());
        props.put("enable.auto.commit", "false");
        props.put("metadata.max.age.ms", "1000");
        props.put("fetch.max.wait.ms", "100");
        props.put("retry.backoff.ms", "50");
        props.put("reconnect.backoff.ms", "50");
        if (plan.path("protocol").asText().equals("consumer")) {
            props.put("group.protocol", "consumer");
            if (plan.hasNonNull("assignor")) {
                props.put("group.remote.assignor", plan.get("assignor").asText());
            }
        } else {
            props.put("session.timeout.ms", plan.get("session_ms").asText());
            props.put("heartbeat.interval.ms", "300");
            props.put("partition.assignment.strategy", strategies());
        }
        if (plan.hasNonNull("instance")) {
            props.put("group.instance.id", plan.get("instance").asText());
        }
        consumer = new KafkaConsumer<>(props, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private String strategies() {
        String name = switch (plan.path("assignor").asText("range")) {
            case "roundrobin" -> "RoundRobinAssignor";
            case "sticky" -> "StickyAssignor";
            case "cooperative-sticky" -> "CooperativeStickyAssignor";
            default -> "RangeAssignor";
        };
        return "org.apache.kafka.clients.consumer." + name;
    }

    public static void main(String[] args) throws Exception {
        Member member = new Member(JSON.readTree(args[0]));
        Thread reader = new Thread(member::readCommands);
        reader.setDaemon(true);
        reader.start();
        member.subscribe();
        while (member.step()) {
        }
        member.consumer.close(Duration.ofSeconds(5));
        event("stopped");
        System.exit(0);
    }

    private void readCommands() {
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                commands.add(line);
            }
        } catch (java.io.IOException closed) {
            // The driver is gone: stop as if it had asked.
        }
        commands.add("stop");
    }

    private void subscribe() throws Exception {
        if (plan.hasNonNull("regex")) {
            // Only the 4.2 client has it: by name, so that 3.9 compiles too.
            Class<?> type = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern");
            Object pattern = type.getConstructor(String.class).newInstance(plan.get("regex").asText());
            KafkaConsumer.class.getMethod("subscribe", type, ConsumerRebalanceListener.class).invoke(consumer, pattern, this);
        } else if (plan.hasNonNull("pattern")) {
            consumer.subscribe(Pattern.compile(plan.get("pattern").asText()), this);
        } else {
            List<String> topics = new ArrayList<>();
            plan.get("topics").forEach(topic -> topics.add(topic.asText()));
            consumer.subscribe(topics, this);
        }
    }

    /** One poll, or one command; false when told to stop. */
    private boolean step() throws InterruptedException {
        String command = commands.poll();
        try {
            if (command == null) {
                poll();
            } else if (command.equals("stop")) {
                return false;
            } else {
                obey(command);
            }
        } catch (org.apache.kafka.common.KafkaException error) {
            ObjectNode line = JSON.createObjectNode().put("e", "error");
            System.out.println(line.put("m", error.getClass().getSimpleName() + ": " + error.getMessage()));
            Thread.sleep(100);
        }
        return true;
    }

    private void obey(String command) throws InterruptedException {
        switch (command) {
            case "unsubscribe" -> {
                consumer.unsubscribe();
                event("unsubscribed");
                // A consumer without a subscription must not poll: wait for the next command.
                commands.add(commands.take());
            }
            case "seek" -> consumer.seekToBeginning(consumer.assignment());
            case "committed" -> show("fetched", consumer.committed(new HashSet<>(consumer.assignment())));
            default -> throw new IllegalArgumentException(command);
        }
    }

    private void poll() {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
        if (records.isEmpty()) {
            return;
        }
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            ObjectNode line = JSON.createObjectNode().put("e", "record").put("t", record.topic());
            System.out.println(line.put("p", record.partition()).put("o", record.offset()));
            offsets.put(new TopicPartition(record.topic(), record.partition()),
                new OffsetAndMetadata(record.offset() + 1, record.leaderEpoch(), plan.get("metadata").asText()));
        }
        if (plan.path("commit").asText().equals("async")) {
            consumer.commitAsync(offsets, (done, error) -> {
                if (error == null) {
                    show("committed", done);
                }
            });
        } else {
            consumer.commitSync(offsets);
            show("committed", offsets);
        }
    }

    private static void show(String name, Map<TopicPartition, OffsetAndMetadata> offsets) {
        ObjectNode line = JSON.createObjectNode().put("e", name);
        ArrayNode list = line.putArray("p");
        offsets.forEach((partition, offset) -> {
            if (offset != null) {
                list.addArray().add(partition.topic()).add(partition.partition()).add(offset.offset()).add(offset.metadata());
            }
        });
        System.out.println(line);
    }

    private static void event(String name) {
        System.out.println(JSON.createObjectNode().put("e", name));
    }

    private static void partitions(String name, Collection<TopicPartition> partitions) {
        ObjectNode line = JSON.createObjectNode().put("e", name);
        ArrayNode list = line.putArray("p");
        partitions.forEach(partition -> list.addArray().add(partition.topic()).add(partition.partition()));
        System.out.println(line);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        partitions("assigned", partitions);
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        partitions("revoked", partitions);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        partitions("lost", partitions);
    }
}
