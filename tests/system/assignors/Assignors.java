import java.io.BufferedWriter;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.clients.consumer.internals.AbstractStickyAssignor;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.GroupAssignment;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/**
 * Asks Apache Kafka's own assignors about random groups that change, and prints every question with Kafka's answer.
 *
 * Arguments: a seed, how many groups. Each group goes through STEPS changes; what a member owns is what the same assignor
 * gave it before. A question, one line each (indexes of topics and partitions as topic:partition):
 *
 *   ask ASSIGNOR (homogeneous|heterogeneous)
 *   topic NAME ID PARTITIONS RACKS       racks: of each partition, replicas by comma, partitions by slash; or -
 *   member ID INSTANCE RACK TOPICS OWNED (each - where there is none)
 *   answer PARTITIONS                    one for each member, in the same order
 *   end
 */
public class Assignors {
    static final int PATIENCE_SECONDS = 20;
    static final int ENDLESS_MAX = 3;
    static final int STEPS = 4;
    static final String[] RACKS = {"a", "b", "c", "d"};

    static class Topic {
        String name;
        Uuid id;
        List<Set<String>> racks = new ArrayList<>();

        int partitions() {
            return racks.size();
        }
    }

    static class Member {
        String id;
        String instance;
        String rack;
        Set<String> topics = new TreeSet<>();
    }

    interface Answers {
        Map<String, Map<String, Set<Integer>>> assign(Map<String, Map<String, Set<Integer>>> owned);
    }

    final Random random;
    final PrintWriter out;
    final TreeMap<String, Topic> topics = new TreeMap<>();
    final TreeMap<String, Member> members = new TreeMap<>();
    final boolean withRacks;
    final boolean alike;
    final boolean large;
    int named = 0;
    boolean heterogeneous;

    public static void main(String[] args) {
        long seed = Long.parseLong(args[0]);
        int groups = Integer.parseInt(args[1]);
        PrintWriter out = new PrintWriter(new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8)));
        int endless = 0;
        for (int i = 0; i < groups; i++) {
            try {
                new Assignors(new Random(seed + i), out).run();
            } catch (TimeoutException __) {
                endless++;
                System.err.println("group " + i + ": Kafka's assignor does not come to an end; the group ends here");
            }
        }
        out.flush();
        if (endless > ENDLESS_MAX) throw new IllegalStateException(endless + " groups without an end");
    }

    Assignors(Random random, PrintWriter out) {
        this.random = random;
        this.out = out;
        large = random.nextInt(20) == 0;
        alike = random.nextInt(5) < 3;
        withRacks = random.nextInt(3) == 0;
    }

    int between(int low, int high) {
        return low + random.nextInt(high - low + 1);
    }

    void run() throws TimeoutException {
        for (int i = between(1, large ? 40 : 7); i > 0; i--) addTopic();
        for (int i = between(1, large ? 80 : 10); i > 0; i--) addMember();
        Map<String, Map<String, Map<String, Set<Integer>>>> owned = new HashMap<>();
        for (int step = 0; step < STEPS; step++) {
            if (step > 0) change();
            subscribe();
            ask("range", owned, o -> server(new RangeAssignor(), o));
            ask("uniform", owned, o -> server(new UniformAssignor(), o));
            ask("client-range", owned, o -> client(new org.apache.kafka.clients.consumer.RangeAssignor(), o));
            ask("round-robin", owned, o -> client(new RoundRobinAssignor(), o));
            ask("sticky", owned, o -> client(new Sticky(), o));
        }
    }

    void addTopic() {
        Topic topic = new Topic();
        topic.name = (random.nextBoolean() ? "orders-" : "t") + Integer.toString(between(0, 99999), 36) + named++;
        topic.id = new Uuid(random.nextLong(), random.nextLong());
        int partitions = random.nextInt(4) == 0 ? between(1, large ? 200 : 60) : between(1, 9);
        addPartitions(topic, partitions);
        topics.put(topic.name, topic);
    }

    void addPartitions(Topic topic, int count) {
        for (int i = 0; i < count; i++) {
            Set<String> racks = new TreeSet<>();
            if (withRacks) for (int r = between(0, 3); r > 0; r--) racks.add(RACKS[random.nextInt(RACKS.length)]);
            topic.racks.add(racks);
        }
    }

    void addMember() {
        Member member = new Member();
        java.util.UUID uuid = new java.util.UUID(random.nextLong(), random.nextLong());
        member.id = switch (random.nextInt(3)) {
            case 0 -> uuid.toString();
            case 1 -> new Uuid(random.nextLong(), random.nextLong()).toString();
            default -> "consumer-" + named++ + "-" + uuid;
        };
        if (random.nextInt(4) == 0) member.instance = "instance-" + between(0, 99) + "-" + named++;
        if (withRacks && random.nextInt(5) > 0) member.rack = RACKS[random.nextInt(RACKS.length)];
        members.put(member.id, member);
    }

    <T> T any(java.util.Collection<T> of) {
        return new ArrayList<>(of).get(random.nextInt(of.size()));
    }

    void change() {
        for (int i = between(1, 3); i > 0; i--) {
            switch (random.nextInt(6)) {
                case 0, 1 -> { if (members.size() > 1) members.remove(any(members.keySet())); }
                case 2, 3 -> addMember();
                case 4 -> { if (random.nextBoolean()) addTopic(); else addPartitions(any(topics.values()), between(1, 5)); }
                default -> { if (topics.size() > 1) topics.remove(any(topics.keySet())); }
            }
        }
    }

    /** Some topics for everybody, or for each what he has plus or minus a little. */
    void subscribe() {
        Set<String> common = new TreeSet<>(topics.keySet());
        if (random.nextBoolean()) common.removeIf(t -> random.nextInt(4) == 0);
        // Java 19 and later make a set of exactly so many less roomy, which changes its order.
        if (common.size() == 12 || common.size() == 24) common.remove(common.iterator().next());
        for (Member member : members.values()) {
            if (alike) {
                member.topics = common;
            } else {
                Set<String> topics = new TreeSet<>(member.topics);
                for (String topic : this.topics.keySet())
                    if (random.nextInt(topics.isEmpty() ? 2 : 6) == 0 && !topics.remove(topic)) topics.add(topic);
                topics.retainAll(this.topics.keySet());
                member.topics = topics;
            }
        }
        Set<Set<String>> distinct = new HashSet<>();
        members.values().forEach(m -> distinct.add(m.topics));
        // Where a topic of a subscription does not exist, equal subscriptions can be told to differ.
        heterogeneous = distinct.size() > 1 || random.nextInt(10) == 0;
    }

    /** For some groups Kafka's sticky assignor moves partitions round and round for ever. */
    static <T> T inTime(Callable<T> question) throws TimeoutException {
        FutureTask<T> task = new FutureTask<>(question);
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        try {
            return task.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    void ask(String name, Map<String, Map<String, Map<String, Set<Integer>>>> owned, Answers answers)
            throws TimeoutException {
        Map<String, Map<String, Set<Integer>>> of = new HashMap<>();
        Map<String, Map<String, Set<Integer>>> before = owned.getOrDefault(name, Map.of());
        for (String member : members.keySet()) {
            Map<String, Set<Integer>> kept = new TreeMap<>(before.getOrDefault(member, Map.of()));
            kept.keySet().retainAll(topics.keySet());
            of.put(member, kept);
        }
        Map<String, Map<String, Set<Integer>>> answer = inTime(() -> answers.assign(of));
        print(name, of);
        for (String member : members.keySet())
            out.println("answer " + places(answer.getOrDefault(member, Map.of())));
        out.println("end");
        owned.put(name, answer);
    }

    String orNone(String text) {
        return text == null || text.isEmpty() ? "-" : text;
    }

    String places(Map<String, Set<Integer>> partitions) {
        List<String> names = new ArrayList<>(topics.keySet());
        List<String> places = new ArrayList<>();
        new TreeMap<>(partitions).forEach((topic, of) ->
            new TreeSet<>(of).forEach(p -> places.add(names.indexOf(topic) + ":" + p)));
        return orNone(String.join(",", places));
    }

    void print(String name, Map<String, Map<String, Set<Integer>>> owned) {
        out.println("ask " + name + (heterogeneous ? " heterogeneous" : " homogeneous"));
        List<String> names = new ArrayList<>(topics.keySet());
        for (Topic topic : topics.values()) {
            List<String> racks = new ArrayList<>();
            topic.racks.forEach(of -> racks.add(String.join(",", of)));
            boolean shown = withRacks && !name.equals("range");
            out.println("topic " + topic.name + " " + topic.id + " " + topic.partitions() + " " + (shown ? String.join("/", racks) + "/" : "-"));
        }
        for (Member member : members.values()) {
            List<String> indexes = new ArrayList<>();
            member.topics.forEach(t -> indexes.add(String.valueOf(names.indexOf(t))));
            out.println("member " + member.id + " " + orNone(member.instance) + " " + orNone(member.rack) + " " +
                orNone(String.join(",", indexes)) + " " + places(owned.get(member.id)));
        }
    }

    /** A set as Java 17 makes a copy of a collection, whatever Java this is. */
    static Set<Integer> copy(Set<Integer> of) {
        Set<Integer> copy = new HashSet<>(Math.max((int) (of.size() / .75f) + 1, 16));
        copy.addAll(new TreeSet<>(of));
        return copy;
    }

    Map<String, Map<String, Set<Integer>>> server(ConsumerGroupPartitionAssignor assignor, Map<String, Map<String, Set<Integer>>> owned) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new HashMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        for (Member member : members.values()) {
            Set<Uuid> subscribed = new LinkedHashSet<>();
            member.topics.forEach(t -> subscribed.add(topics.get(t).id));
            Map<Uuid, Set<Integer>> partitions = new HashMap<>();
            owned.get(member.id).forEach((topic, of) -> {
                Uuid id = topics.get(topic).id;
                partitions.put(id, copy(of));
                of.forEach(p -> inverted.computeIfAbsent(id, __ -> new HashMap<>()).put(p, member.id));
            });
            specs.put(member.id, new MemberSubscriptionAndAssignmentImpl(
                Optional.ofNullable(member.rack), Optional.ofNullable(member.instance), subscribed, new Assignment(partitions)));
        }
        Map<Uuid, Topic> byId = new HashMap<>();
        topics.values().forEach(t -> byId.put(t.id, t));
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid id) {
                return byId.containsKey(id) ? byId.get(id).partitions() : -1;
            }

            @Override
            public Set<String> racksForPartition(Uuid id, int partition) {
                return byId.get(id).racks.get(partition);
            }
        };
        SubscriptionType type = heterogeneous ? SubscriptionType.HETEROGENEOUS : SubscriptionType.HOMOGENEOUS;
        GroupAssignment assignment =
            assignor.assign(new GroupSpecImpl(Collections.unmodifiableMap(specs), type, inverted), describer);
        Map<String, Map<String, Set<Integer>>> answer = new HashMap<>();
        assignment.members().forEach((member, of) -> {
            Map<String, Set<Integer>> named = new HashMap<>();
            of.partitions().forEach((id, partitions) -> named.put(byId.get(id).name, new TreeSet<>(partitions)));
            answer.put(member, named);
        });
        return answer;
    }

    /** The algorithm of StickyAssignor and CooperativeStickyAssignor, with what is owned taken from the subscription. */
    static class Sticky extends AbstractStickyAssignor {
        @Override
        public String name() {
            return "sticky";
        }

        @Override
        protected MemberData memberData(Subscription subscription) {
            return new MemberData(subscription.ownedPartitions(), subscription.generationId(), subscription.rackId());
        }
    }

    Map<String, Map<String, Set<Integer>>> client(AbstractPartitionAssignor assignor, Map<String, Map<String, Set<Integer>>> owned) {
        Set<String> subscribed = new TreeSet<>();
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (Member member : members.values()) {
            subscribed.addAll(member.topics);
            List<TopicPartition> has = new ArrayList<>();
            owned.get(member.id).forEach((topic, of) -> of.forEach(p -> has.add(new TopicPartition(topic, p))));
            Subscription subscription =
                new Subscription(new ArrayList<>(member.topics), null, has, 1, Optional.ofNullable(member.rack));
            subscription.setGroupInstanceId(Optional.ofNullable(member.instance));
            subscriptions.put(member.id, subscription);
        }
        Map<String, List<PartitionInfo>> partitions = new LinkedHashMap<>();
        for (String name : subscribed) {
            List<PartitionInfo> of = new ArrayList<>();
            List<Set<String>> racks = topics.get(name).racks;
            for (int p = 0; p < racks.size(); p++) {
                Node[] nodes = racks.get(p).stream().map(r -> new Node(r.charAt(0), "host", 9092, r)).toArray(Node[]::new);
                of.add(new PartitionInfo(name, p, nodes.length == 0 ? Node.noNode() : nodes[0], nodes, nodes));
            }
            partitions.put(name, of);
        }
        Map<String, Map<String, Set<Integer>>> answer = new HashMap<>();
        assignor.assignPartitions(partitions, subscriptions).forEach((member, of) -> {
            Map<String, Set<Integer>> named = new HashMap<>();
            of.forEach(tp -> named.computeIfAbsent(tp.topic(), __ -> new TreeSet<>()).add(tp.partition()));
            answer.put(member, named);
        });
        return answer;
    }
}
