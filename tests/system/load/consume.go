// The consumers of the kills of groups: members that come and go, and commit what they read, one commit at a time.
//
// A ledger has one line per partition of a commit: "S group topic partition offset" before it is sent, "A …" when the broker
// has said that it is there. Commands over stdin as in produce.go: `stop` → `<commits acknowledged> <failed>`.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	pollRecordsMax = 40
	pollMax        = 100 * time.Millisecond
	commitMax      = 3 * time.Second
	lifeMin        = 1500 * time.Millisecond
	lifeMax        = 5 * time.Second
	// Short sessions: a member that could not say goodbye to a dead broker is soon forgotten.
	sessionMax = 3 * time.Second
)

type consumedGroup struct {
	Name, Balancer string
	Members        int
}

type consumePlan struct {
	Bootstrap, Ledger, Topic string
	Seed                     int64
	Groups                   []consumedGroup
}

type consumption struct {
	plan          consumePlan
	mu            sync.Mutex
	file          *os.File
	acked, failed atomic.Int64
	stop          atomic.Bool
	done          sync.WaitGroup
}

func (c *consumption) line(kind, group, topic string, partition int32, offset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := fmt.Fprintf(c.file, "%s %s %s %d %d\n", kind, group, topic, partition, offset)
	must(err)
}

func (c *consumption) options(group consumedGroup, name string) []kgo.Opt {
	background := context.Background()
	options := []kgo.Opt{
		kgo.SeedBrokers(c.plan.Bootstrap), kgo.ClientID(name), kgo.ConsumerGroup(group.Name), kgo.ConsumeTopics(c.plan.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(sessionMax), kgo.RebalanceTimeout(2 * sessionMax), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.DialTimeout(2 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond),
	}
	switch group.Balancer {
	case "modern":
		background = context.WithValue(background, "opt_in_kafka_next_gen_balancer_beta", true)
	case "range":
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	default:
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	return append(options, kgo.WithContext(background))
}

// commit says what is to be committed, commits it and says what was.
func (c *consumption) commit(client *kgo.Client, group string, offsets map[string]map[int32]kgo.EpochOffset) {
	for topic, partitions := range offsets {
		for partition, at := range partitions {
			c.line("S", group, topic, partition, at.Offset)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitMax)
	defer cancel()
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			c.failed.Add(1)
			return
		}
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if kerr.ErrorForCode(partition.ErrorCode) == nil {
					c.acked.Add(1)
					c.line("A", group, c.plan.Topic, partition.Partition, offsets[c.plan.Topic][partition.Partition].Offset)
				} else {
					c.failed.Add(1)
				}
			}
		}
	})
}

func (c *consumption) live(group consumedGroup, name string, life time.Duration) {
	client, err := kgo.NewClient(c.options(group, name)...)
	must(err)
	defer client.CloseAllowingRebalance()
	for end := time.Now().Add(life); time.Now().Before(end) && !c.stop.Load(); {
		ctx, cancel := context.WithTimeout(context.Background(), pollMax)
		fetches := client.PollRecords(ctx, pollRecordsMax)
		cancel()
		offsets := map[string]map[int32]kgo.EpochOffset{c.plan.Topic: {}}
		fetches.EachRecord(func(record *kgo.Record) {
			offsets[c.plan.Topic][record.Partition] = kgo.EpochOffset{Epoch: record.LeaderEpoch, Offset: record.Offset + 1}
		})
		if len(offsets[c.plan.Topic]) > 0 {
			c.commit(client, group.Name, offsets)
		}
		client.AllowRebalance()
	}
}

func (c *consumption) member(group consumedGroup, number int) {
	defer c.done.Done()
	chance := rand.New(rand.NewSource(c.plan.Seed + int64(number)))
	for life := 0; !c.stop.Load(); life++ {
		span := lifeMin + time.Duration(chance.Int63n(int64(lifeMax-lifeMin)))
		c.live(group, fmt.Sprintf("%s-%d-%d", group.Name, number, life), span)
	}
}

func consume(path string) {
	c := &consumption{}
	data, err := os.ReadFile(path)
	must(err)
	must(json.Unmarshal(data, &c.plan))
	c.file, err = os.Create(c.plan.Ledger)
	must(err)
	for _, group := range c.plan.Groups {
		for number := range group.Members {
			c.done.Add(1)
			go c.member(group, number)
		}
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		if commands.Text() == "stop" {
			c.stop.Store(true)
			c.done.Wait()
			fmt.Println(c.acked.Load(), c.failed.Load())
		}
	}
}
