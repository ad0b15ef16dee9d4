import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.FileWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java producers of the crash tests of routed topics: the ledger and the commands of produce.go and routed.go. The plan is a
 * properties file: bootstrap, ledger, topic, partitions, seed, prefix, clients.
 */
public final class RoutedLoad {
    private static final int KEYS = 200, OUTSTANDING_MAX = 300;

    private final Properties plan = new Properties();
    private final PrintWriter ledger;
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicInteger pace = new AtomicInteger(1);
    private final List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
    private long lines, failed;

    private RoutedLoad(Path path) throws IOException {
        try (var in = Files.newInputStream(path)) {
            plan.load(in);
        }
        ledger = new PrintWriter(new BufferedWriter(new FileWriter(plan.getProperty("ledger")), 1 << 20), false);
    }

    private int number(String name) {
        return Integer.parseInt(plan.getProperty(name));
    }

    private void acked(String line) {
        synchronized (ledger) {
            ledger.print(line);
            lines++;
        }
    }

    private void lost(String client, Object why) {
        synchronized (ledger) {
            failed++;
            if (failed <= 5) {
                System.err.println(client + ": a delivery failed: " + why);
            }
        }
    }

    private KafkaProducer<byte[], byte[]> producer(String client, int index) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", plan.getProperty("bootstrap"));
        settings.put("client.id", client);
        settings.put("enable.idempotence", "true");
        settings.put("acks", "all");
        settings.put("max.in.flight.requests.per.connection", "5");
        settings.put("linger.ms", "0");
        settings.put("batch.size", "4096");
        settings.put("compression.type", List.of("none", "lz4", "zstd", "snappy", "gzip").get(index % 5));
        settings.put("delivery.timeout.ms", "120000");
        settings.put("request.timeout.ms", "20000");
        settings.put("retry.backoff.ms", "50");
        settings.put("reconnect.backoff.ms", "50");
        settings.put("reconnect.backoff.max.ms", "200");
        settings.put("max.block.ms", "120000");
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void client(String name, int index, KafkaProducer<byte[], byte[]> producer) {
        Random chance = new Random(number("seed") + 2000L + index);
        AtomicInteger outstanding = new AtomicInteger();
        String topic = plan.getProperty("topic");
        try {
            for (long count = 0; !stop.get(); count++) {
                int chosen = chance.nextInt(number("partitions"));
                String key = chance.nextInt(20) == 0 ? null : "k" + chance.nextInt(KEYS);
                byte[] value = (name + "-" + count + "-" + chosen + "-" + "j".repeat(100 + chance.nextInt(800)))
                    .getBytes(StandardCharsets.UTF_8);
                long called = System.currentTimeMillis();
                long age = chance.nextInt(10) == 0 ? (1 + chance.nextInt(24 * 9)) * 3_600_000L : 0;
                byte[] bytes = key == null ? null : key.getBytes(StandardCharsets.UTF_8);
                long numbered = count;
                outstanding.incrementAndGet();
                producer.send(new ProducerRecord<>(topic, chosen, called - age, bytes, value), (metadata, error) -> {
                    outstanding.decrementAndGet();
                    if (error != null) {
                        lost(name, error);
                        return;
                    }
                    acked(String.format("%s %d %s %d %s %d %d\n", topic, chosen, name, numbered, key == null ? "-" : key, called,
                        System.currentTimeMillis()));
                });
                pause(chance, outstanding);
            }
            producer.flush();
        } catch (KafkaException | InterruptedException error) {
            lost(name, error);
        } finally {
            producer.close(Duration.ofSeconds(5));
        }
    }

    /** Keeps to the pace, and to what may be outstanding. */
    private void pause(Random chance, AtomicInteger outstanding) throws InterruptedException {
        long begun = System.nanoTime();
        double share = 0.5 + chance.nextDouble();
        while (!stop.get()) {
            int wanted = pace.get();
            double left = wanted == 0 ? 0 : share * number("clients") / wanted - (System.nanoTime() - begun) / 1e9;
            if (left <= 0 && outstanding.get() < OUTSTANDING_MAX) {
                return;
            }
            Thread.sleep(Math.max(1, Math.min(20, (long) (left * 1000))));
        }
    }

    private long inFlight() {
        double all = 0;
        for (var producer : producers) {
            for (var metric : producer.metrics().entrySet()) {
                if (metric.getKey().name().equals("requests-in-flight") && metric.getValue().metricValue() instanceof Double n) {
                    all += n;
                }
            }
        }
        return (long) all;
    }

    private String answer(String command, List<Thread> threads) throws InterruptedException {
        String[] words = command.split(" ");
        switch (words[0]) {
            case "pace" -> {
                pace.set(Integer.parseInt(words[1]));
                return "ok";
            }
            case "inflight" -> {
                return String.valueOf(inFlight());
            }
            case "mark" -> {
                synchronized (ledger) {
                    ledger.flush();
                    return String.valueOf(lines);
                }
            }
            case "stop" -> {
                stop.set(true);
                for (Thread thread : threads) {
                    thread.join();
                }
                synchronized (ledger) {
                    ledger.flush();
                    return lines + " " + failed;
                }
            }
            default -> {
                return "error: unknown command " + command;
            }
        }
    }

    public static void main(String[] args) throws Exception {
        RoutedLoad load = new RoutedLoad(Path.of(args[0]));
        List<Thread> threads = new ArrayList<>();
        for (int index = 0; index < load.number("clients"); index++) {
            String name = load.plan.getProperty("prefix") + index;
            int of = index;
            KafkaProducer<byte[], byte[]> producer = load.producer(name, index);
            load.producers.add(producer);
            Thread thread = new Thread(() -> load.client(name, of, producer));
            thread.start();
            threads.add(thread);
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            System.out.println(load.answer(line.trim(), threads));
        }
        System.exit(0);
    }
}
