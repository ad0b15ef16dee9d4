import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.time.Duration;
import java.util.HashSet;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;

/** A small Kafka Streams application as a member of a group; its lines are those of Member. */
public final class StreamsMember {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Shows each record that a task gets. */
    private static final class Show extends ContextualProcessor<byte[], byte[], Void, Void> {
        @Override
        public void process(Record<byte[], byte[]> record) {
            context().recordMetadata().ifPresent(where -> System.out.println(JSON.createObjectNode()
                .put("e", "record").put("t", where.topic()).put("p", where.partition()).put("o", where.offset())));
        }
    }

    public static void main(String[] args) throws Exception {
        JsonNode plan = JSON.readTree(args[0]);
        Properties props = new Properties();
        props.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, plan.get("bootstrap").asText());
        props.put(StreamsConfig.APPLICATION_ID_CONFIG, plan.get("group").asText());
        props.put(StreamsConfig.CLIENT_ID_CONFIG, plan.get("name").asText());
        props.put(StreamsConfig.STATE_DIR_CONFIG, plan.get("state").asText());
        props.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        props.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        props.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), plan.get("session_ms").asText());
        props.put(StreamsConfig.consumerPrefix(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG), "300");
        StreamsBuilder builder = new StreamsBuilder();
        String topic = plan.get("topics").get(0).asText();
        builder.stream(topic, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray())).process(Show::new);
        KafkaStreams streams = new KafkaStreams(builder.build(), props);
        streams.start();
        Set<TopicPartition> owned = new HashSet<>();
        while (!asked() && streams.state() != KafkaStreams.State.ERROR) {
            Set<TopicPartition> now = new HashSet<>();
            streams.metadataForLocalThreads().forEach(
                thread -> thread.activeTasks().forEach(task -> now.addAll(task.topicPartitions())));
            moved("revoked", owned, now);
            moved("assigned", now, owned);
            owned = now;
            Thread.sleep(50);
        }
        // A Streams member stays in its group when it closes, unless asked to leave.
        streams.close(new KafkaStreams.CloseOptions().leaveGroup(true).timeout(Duration.ofSeconds(10)));
        System.out.println(JSON.createObjectNode().put("e", "stopped"));
        System.exit(0);
    }

    /** Whether the driver said something, which can only be that this should stop, or is gone. */
    private static boolean asked() throws IOException {
        return System.in.available() > 0;
    }

    private static void moved(String name, Set<TopicPartition> from, Set<TopicPartition> without) {
        ObjectNode line = JSON.createObjectNode().put("e", name);
        ArrayNode list = line.putArray("p");
        from.stream().filter(partition -> !without.contains(partition)).forEach(
            partition -> list.addArray().add(partition.topic()).add(partition.partition()));
        if (!list.isEmpty()) {
            System.out.println(line);
        }
    }
}
