import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.io.FileWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client, compiled once against 3.9 and once against 4.2: the features it has, against
 * the broker of the plan. Contract of a client program (plan in, result lines out): ../README.md
 */
public final class Client {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();
    private static final long BASE_TS = 1_700_000_000_000L;
    private static final long WAIT_MS = 20_000;

    private interface Step {
        void run() throws Exception;
    }

    private final JsonNode plan;
    private final FileWriter results;
    private final Admin admin;

    private Client(String path) throws Exception {
        plan = JSON.readTree(new File(path));
        results = new FileWriter(plan.get("results").asText());
        Properties props = new Properties();
        props.put("bootstrap.servers", plan.get("bootstrap").asText());
        props.put("default.api.timeout.ms", "20000");
        props.put("request.timeout.ms", "10000");
        admin = Admin.create(props);
    }

    public static void main(String[] args) throws Exception {
        Client client = new Client(args[0]);
        for (JsonNode topic : list(client.plan, "topics")) {
            client.write(topic);
        }
        if (client.plan.path("admin").asBoolean()) {
            client.tryAdmin();
        }
        for (JsonNode job : list(client.plan, "reads")) {
            client.check(job.get("feature").asText(),
                "read " + job.get("topic").asText() + " from " + job.get("from").asText(), () -> client.read(job));
        }
        client.admin.close();
        client.line(JSON.createObjectNode().put("done", true));
        client.results.close();
    }

    private static JsonNode list(JsonNode node, String name) {
        JsonNode found = node.get(name);
        return found == null ? JSON.createArrayNode() : found;
    }

    private void line(ObjectNode object) throws Exception {
        results.write(JSON.writeValueAsString(object) + "\n");
        results.flush();
    }

    private void result(String feature, String name, boolean ok, String detail) throws Exception {
        line(JSON.createObjectNode().put("feature", feature).put("name", name).put("ok", ok).put("detail", detail));
    }

    private void check(String feature, String name, Step step) throws Exception {
        try {
            step.run();
            result(feature, name, true, "");
        } catch (Throwable error) {
            error.printStackTrace();
            result(feature, name, false, String.valueOf(cause(error)));
        }
    }

    private static Throwable cause(Throwable error) {
        return error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
    }

    private void refuses(String name, String expected, Step step) throws Exception {
        try {
            step.run();
            result("errors", name, false, "expected " + expected + ", got success");
        } catch (Throwable error) {
            Throwable shown = cause(error);
            result("errors", name, shown.getClass().getSimpleName().equals(expected), "expected " + expected + ", got " + shown);
        }
    }

    private static void equal(Object got, Object wanted, String what) {
        if (!got.equals(wanted)) {
            throw new AssertionError(what + ": expected " + wanted + ", got " + got);
        }
    }

    /** In a cluster an accepted change reaches the broker that answers a little later. */
    private static void eventually(Callable<Object> read, Object wanted, String what) throws Exception {
        long deadline = System.currentTimeMillis() + 5_000;
        Object got = read.call();
        while (!got.equals(wanted) && System.currentTimeMillis() < deadline) {
            Thread.sleep(50);
            got = read.call();
        }
        equal(got, wanted, what);
    }

    private void create(String topic, int partitions, Map<String, String> configs, int replication) throws Exception {
        admin.createTopics(Set.of(new NewTopic(topic, partitions, (short) replication).configs(configs))).all().get();
    }

    private static byte[] raw(JsonNode hex) {
        return hex.isNull() ? null : HEX.parseHex(hex.asText());
    }

    private static String text(byte[] raw) {
        return raw == null ? null : HEX.formatHex(raw);
    }

    private void produce(String topic, String codec, JsonNode records) throws Exception {
        Properties props = new Properties();
        props.put("bootstrap.servers", plan.get("bootstrap").asText());
        props.put("compression.type", codec);
        props.put("enable.idempotence", "true");
        props.put("linger.ms", "200");
        props.put("batch.size", "262144");
        props.put("max.request.size", "8388608");
        props.put("delivery.timeout.ms", "20000");
        props.put("request.timeout.ms", "10000");
        ByteArraySerializer serializer = new ByteArraySerializer();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(props, serializer, serializer)) {
            List<Future<?>> sent = new ArrayList<>();
            for (JsonNode r : records) {
                List<Header> headers = new ArrayList<>();
                for (JsonNode h : r.get("h")) {
                    headers.add(new RecordHeader(h.get(0).asText(), raw(h.get(1))));
                }
                Long ts = r.get("ts").isNull() ? null : r.get("ts").asLong();
                sent.add(producer.send(
                    new ProducerRecord<>(topic, r.get("p").asInt(), ts, raw(r.get("k")), raw(r.get("v")), headers)));
            }
            producer.flush();
            for (Future<?> future : sent) {
                future.get();
            }
        }
    }

    private void write(JsonNode topic) throws Exception {
        String name = topic.get("topic").asText();
        String codec = topic.get("codec").asText();
        Map<String, String> configs = new HashMap<>();
        topic.get("configs").fields().forEachRemaining(e -> configs.put(e.getKey(), e.getValue().asText()));
        check("create", "create " + name, () -> create(name, topic.get("partitions").asInt(), configs, 1));
        check(topic.get("feature").asText(), "produce " + codec,
            () -> produce(name, codec, JSON.readTree(new File(topic.get("corpus").asText()))));
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    private ConfigEntry config(String topic, String key) throws Exception {
        return admin.describeConfigs(Set.of(resource(topic))).all().get().get(resource(topic)).get(key);
    }

    private void alter(String topic, String key, String value, AlterConfigOp.OpType op) throws Exception {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), op));
        admin.incrementalAlterConfigs(Map.of(resource(topic), ops)).all().get();
    }

    private TopicDescription describe(String topic) throws Exception {
        return admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic);
    }

    private long offset(String topic, OffsetSpec spec) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        return admin.listOffsets(Map.of(tp, spec)).partitionResult(tp).get().offset();
    }

    private static ArrayNode plain(int count, int bytes, boolean timed) {
        ArrayNode records = JSON.createArrayNode();
        for (int i = 0; i < count; i++) {
            ObjectNode r = records.addObject().put("p", 0).putNull("k").put("v", "78".repeat(bytes));
            if (timed) {
                r.put("ts", BASE_TS + i);
            } else {
                r.putNull("ts");
            }
            r.putArray("h");
        }
        return records;
    }

    private void tryAdmin() throws Exception {
        String t = plan.get("prefix").asText() + ".admin";
        TopicPartition zero = new TopicPartition(t, 0);
        check("create", "create with configs", () -> create(t, 3, Map.of("retention.ms", "-1"), 1));
        tryTopics(t);
        tryConfigs(t);
        check("list-offsets", "all specs", () -> {
            produce(t, "none", plain(10, 5, true));
            equal(offset(t, OffsetSpec.earliest()), 0L, "earliest");
            equal(offset(t, OffsetSpec.latest()), 10L, "latest");
            equal(offset(t, OffsetSpec.maxTimestamp()), 9L, "max timestamp");
            equal(offset(t, OffsetSpec.forTimestamp(BASE_TS + 6)), 6L, "for timestamp");
            equal(offset(t, OffsetSpec.forTimestamp(BASE_TS + 60)), -1L, "for a later timestamp");
            equal(offset(t, OffsetSpec.earliestLocal()), 0L, "earliest local");
            equal(offset(t, OffsetSpec.latestTiered()), -1L, "latest tiered");
        });
        check("delete-records", "up to 4, then up to the high watermark", () -> {
            equal(admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(zero).get()
                .lowWatermark(), 4L, "low watermark");
            equal(offset(t, OffsetSpec.earliest()), 4L, "earliest");
            equal(admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(zero).get()
                .lowWatermark(), 10L, "low watermark at the end");
        });
        check("cluster", "describe", () -> {
            var cluster = admin.describeCluster();
            equal(cluster.nodes().get().size(), 1, "nodes");
            equal(cluster.clusterId().get().isEmpty(), false, "no cluster id");
            equal(cluster.controller().get().isEmpty(), false, "no controller");
        });
        check("cluster", "features", () ->
            equal(admin.describeFeatures().featureMetadata().get().finalizedFeatures().containsKey("metadata.version"), true,
                "metadata.version is finalized"));
        check("log-dirs", "describe", () -> {
            int id = admin.describeCluster().nodes().get().iterator().next().id();
            var dirs = admin.describeLogDirs(Set.of(id)).allDescriptions().get().get(id);
            equal(dirs.values().stream().anyMatch(d -> d.replicaInfos().containsKey(zero)), true, t + " is listed");
        });
        tryErrors(t, zero);
        check("delete", "delete topic", () -> {
            Uuid id = describe(t).topicId();
            admin.deleteTopics(TopicCollection.ofTopicIds(Set.of(id))).all().get();
            long deadline = System.currentTimeMillis() + 10_000;
            while (admin.listTopics().names().get().contains(t)) {
                if (System.currentTimeMillis() > deadline) {
                    throw new AssertionError("still listed after 10 s");
                }
                Thread.sleep(50);
            }
        });
    }

    private void tryTopics(String t) throws Exception {
        check("describe", "describe topic by name and by id", () -> {
            TopicDescription got = describe(t);
            equal(got.partitions().size(), 3, "partitions");
            equal(got.partitions().stream().allMatch(p -> p.leader() != null && p.isr().size() == 1), true, "leaders and isr");
            equal(admin.describeTopics(TopicCollection.ofTopicIds(Set.of(got.topicId()))).allTopicIds().get()
                .get(got.topicId()).name(), t, "name by id");
        });
        check("describe", "list topics", () -> equal(admin.listTopics().names().get().contains(t), true, "listed"));
        check("partitions", "grow to 5", () -> {
            admin.createPartitions(Map.of(t, NewPartitions.increaseTo(5))).all().get();
            eventually(() -> describe(t).partitions().size(), 5, "partitions");
        });
    }

    private void tryConfigs(String t) throws Exception {
        check("configs", "incremental alter and describe", () -> {
            equal(config(t, "retention.ms").value(), "-1", "retention.ms");
            equal(config(t, "retention.ms").source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source");
            alter(t, "max.message.bytes", "2000", AlterConfigOp.OpType.SET);
            eventually(() -> config(t, "max.message.bytes").value(), "2000", "after set");
            alter(t, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
            eventually(() -> config(t, "cleanup.policy").value(), "delete,compact", "after append");
            alter(t, "cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT);
            eventually(() -> config(t, "cleanup.policy").value(), "delete", "after subtract");
            alter(t, "max.message.bytes", null, AlterConfigOp.OpType.DELETE);
            eventually(() -> config(t, "max.message.bytes").value(), "1048588", "after delete");
            eventually(() -> config(t, "max.message.bytes").isDefault(), true, "default after delete");
        });
        check("configs", "the broker's own", () -> {
            ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER,
                admin.describeCluster().nodes().get().iterator().next().idString());
            equal(admin.describeConfigs(Set.of(broker)).all().get().get(broker).entries().isEmpty(), false, "empty");
        });
    }

    private void tryErrors(String t, TopicPartition zero) throws Exception {
        String prefix = plan.get("prefix").asText();
        refuses("topic exists", "TopicExistsException", () -> create(t, 1, Map.of(), 1));
        refuses("bad topic name", "InvalidTopicException", () -> create("bad name!", 1, Map.of(), 1));
        refuses("colliding topic name", "InvalidTopicException",
            () -> create(t.replace(".admin", "_admin"), 1, Map.of(), 1));
        refuses("no partitions", "InvalidPartitionsException", () -> create(prefix + ".none", 0, Map.of(), 1));
        refuses("replication factor 3", "InvalidReplicationFactorException", () -> create(prefix + ".rf", 1, Map.of(), 3));
        refuses("bad config at create", "InvalidConfigurationException",
            () -> create(prefix + ".cfg", 1, Map.of("retention.ms", "soon"), 1));
        refuses("unknown config", "InvalidConfigurationException",
            () -> alter(t, "no.such.config", "1", AlterConfigOp.OpType.SET));
        refuses("bad config value", "InvalidConfigurationException",
            () -> alter(t, "retention.ms", "soon", AlterConfigOp.OpType.SET));
        refuses("fewer partitions", "InvalidPartitionsException",
            () -> admin.createPartitions(Map.of(t, NewPartitions.increaseTo(2))).all().get());
        refuses("delete records past the end", "OffsetOutOfRangeException",
            () -> admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(1000))).all().get());
        refuses("record too large", "RecordTooLargeException", () -> {
            alter(t, "max.message.bytes", "2000", AlterConfigOp.OpType.SET);
            eventually(() -> config(t, "max.message.bytes").value(), "2000", "before the produce");
            produce(t, "none", plain(1, 10_000, false));
        });
        if (plan.get("client").asText().equals("java-4.2")) {
            // Ten records of 500 bytes are one batch of over 2000 bytes: the client splits and resends.
            // (3.9 splits by batch.size, not by what was refused, and never ends.)
            check("errors", "a batch that is too large is split", () -> {
                produce(t, "none", plain(10, 500, false));
                equal(offset(t, OffsetSpec.latest()), 20L, "latest");
            });
        }
        refuses("unknown topic, no auto-creation", "UnknownTopicOrPartitionException", () -> describe(prefix + ".missing"));
        refuses("unknown topic id", "UnknownTopicIdException",
            () -> admin.describeTopics(TopicCollection.ofTopicIds(Set.of(Uuid.randomUuid()))).allTopicIds().get());
        refuses("delete a missing topic", "UnknownTopicOrPartitionException",
            () -> admin.deleteTopics(Set.of(prefix + ".missing")).all().get());
        refuses("null key on a compacted topic", "InvalidRecordException", () -> {
            create(prefix + ".compact", 1, Map.of("cleanup.policy", "compact"), 1);
            produce(prefix + ".compact", "none", plain(1, 5, false));
        });
    }

    private void read(JsonNode job) throws Exception {
        Properties props = new Properties();
        props.put("bootstrap.servers", plan.get("bootstrap").asText());
        props.put("enable.auto.commit", "false");
        props.put("max.partition.fetch.bytes", "8388608");
        List<TopicPartition> partitions = new ArrayList<>();
        job.get("partitions").forEach(p -> partitions.add(new TopicPartition(job.get("topic").asText(), p.asInt())));
        ByteArrayDeserializer deserializer = new ByteArrayDeserializer();
        ArrayNode out = JSON.createArrayNode();
        int wanted = job.get("expect").asInt();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(props, deserializer, deserializer)) {
            consumer.assign(partitions);
            seek(consumer, partitions, job);
            long deadline = System.currentTimeMillis() + WAIT_MS;
            while (out.size() < wanted && System.currentTimeMillis() < deadline) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500))) {
                    ObjectNode row = out.addObject().put("p", r.partition()).put("o", r.offset()).put("ts", r.timestamp())
                        .put("k", text(r.key())).put("v", text(r.value()));
                    ArrayNode headers = row.putArray("h");
                    for (Header h : r.headers()) {
                        headers.addArray().add(h.key()).add(text(h.value()));
                    }
                }
            }
        }
        JSON.writeValue(new File(job.get("out").asText()), out);
        equal(out.size(), wanted, "records");
    }

    private static void seek(KafkaConsumer<byte[], byte[]> consumer, List<TopicPartition> partitions, JsonNode job) {
        switch (job.get("from").asText()) {
            case "start" -> consumer.seekToBeginning(partitions);
            case "offset" -> partitions.forEach(tp -> consumer.seek(tp, job.get("value").asLong()));
            default -> {
                Map<TopicPartition, Long> asked = new HashMap<>();
                partitions.forEach(tp -> asked.put(tp, job.get("value").asLong()));
                Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(asked);
                for (TopicPartition tp : partitions) {
                    if (found.get(tp) == null) {
                        consumer.seekToEnd(List.of(tp));
                    } else {
                        consumer.seek(tp, found.get(tp).offset());
                    }
                }
            }
        }
    }
}
