import java.io.BufferedReader;
import java.io.FileWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * The Java consumers of the kills of groups: the ledger and the command of consume.go. The plan is a properties file:
 * bootstrap, ledger, topic, seed, and groups as "name:protocol:members" with commas.
 */
public final class GroupLoad {
    private static final long LIFE_MIN_MS = 1500, LIFE_MAX_MS = 5000;
    private static final Duration POLL = Duration.ofMillis(100), CLOSE = Duration.ofSeconds(1), COMMIT = Duration.ofSeconds(3);

    private final Properties plan = new Properties();
    private final PrintWriter ledger;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicLong acked = new AtomicLong(), failed = new AtomicLong();

    private GroupLoad(Path path) throws IOException {
        try (var in = Files.newInputStream(path)) {
            plan.load(in);
        }
        ledger = new PrintWriter(new FileWriter(plan.getProperty("ledger")), true);
    }

    private void line(String kind, String group, TopicPartition part, long offset) {
        synchronized (ledger) {
            ledger.printf("%s %s %s %d %d\n", kind, group, part.topic(), part.partition(), offset);
            ledger.flush();
        }
    }

    private KafkaConsumer<byte[], byte[]> consumer(String group, String protocol, String client) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", plan.getProperty("bootstrap"));
        settings.put("group.id", group);
        settings.put("client.id", client);
        settings.put("group.protocol", protocol);
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", "40");
        settings.put("fetch.max.wait.ms", "100");
        settings.put("reconnect.backoff.ms", "50");
        settings.put("reconnect.backoff.max.ms", "200");
        settings.put("retry.backoff.ms", "50");
        settings.put("retry.backoff.max.ms", "200");
        if (protocol.equals("classic")) {
            settings.put("session.timeout.ms", "3000");
            settings.put("heartbeat.interval.ms", "200");
        }
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void commit(KafkaConsumer<byte[], byte[]> consumer, String group, Map<TopicPartition, OffsetAndMetadata> offsets) {
        offsets.forEach((part, at) -> line("S", group, part, at.offset()));
        try {
            consumer.commitSync(offsets, COMMIT);
            offsets.forEach((part, at) -> line("A", group, part, at.offset()));
            acked.addAndGet(offsets.size());
        } catch (KafkaException e) {
            failed.incrementAndGet();
        }
    }

    private void live(String group, String protocol, String client, long lifeMs) {
        KafkaConsumer<byte[], byte[]> consumer = consumer(group, protocol, client);
        try {
            consumer.subscribe(List.of(plan.getProperty("topic")));
            for (long end = System.currentTimeMillis() + lifeMs; System.currentTimeMillis() < end && !stop.get();) {
                Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                if (!offsets.isEmpty()) {
                    commit(consumer, group, offsets);
                }
            }
        } catch (KafkaException e) {
            failed.incrementAndGet();
        } finally {
            try {
                consumer.close(CloseOptions.timeout(CLOSE));
            } catch (KafkaException e) {
                failed.incrementAndGet();
            }
        }
    }

    private Thread member(String group, String protocol, int number) {
        Thread thread = new Thread(() -> {
            Random chance = new Random(Long.parseLong(plan.getProperty("seed")) + group.hashCode() + number);
            for (int life = 0; !stop.get(); life++) {
                long span = LIFE_MIN_MS + chance.nextLong(LIFE_MAX_MS - LIFE_MIN_MS);
                live(group, protocol, group + "-" + number + "-" + life, span);
            }
        });
        thread.start();
        return thread;
    }

    public static void main(String[] arguments) throws Exception {
        GroupLoad load = new GroupLoad(Path.of(arguments[0]));
        List<Thread> threads = new ArrayList<>();
        for (String entry : load.plan.getProperty("groups").split(",")) {
            String[] words = entry.split(":");
            for (int number = 0; number < Integer.parseInt(words[2]); number++) {
                threads.add(load.member(words[0], words[1], number));
            }
        }
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            if (line.equals("stop")) {
                load.stop.set(true);
                for (Thread thread : threads) {
                    thread.join();
                }
                System.out.println(load.acked.get() + " " + load.failed.get());
            }
        }
    }
}
