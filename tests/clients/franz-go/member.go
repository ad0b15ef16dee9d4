package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// memberPlan is what the driver of ../lib/groups.py says to a member.
type memberPlan struct {
	Name, Bootstrap, Group, Pattern, Protocol, Assignor, Instance, Reset, Commit, Metadata string
	Topics                                                                                 []string
	SessionMs                                                                              int `json:"session_ms"`
}

// member is one member of a consumer group, which the driver starts, commands and kills.
type member struct {
	plan   memberPlan
	client *kgo.Client
	lines  sync.Mutex
}

func (m *member) event(name string, fields map[string]any) {
	line := map[string]any{"e": name}
	for key, value := range fields {
		line[key] = value
	}
	text, _ := json.Marshal(line)
	m.lines.Lock()
	defer m.lines.Unlock()
	fmt.Println(string(text))
}

func (m *member) moved(name string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, moved map[string][]int32) {
		list := [][2]any{}
		for topic, partitions := range moved {
			for _, partition := range partitions {
				list = append(list, [2]any{topic, partition})
			}
		}
		m.event(name, map[string]any{"p": list})
	}
}

func (m *member) options() []kgo.Opt {
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(), "sticky": kgo.StickyBalancer(),
		"cooperative-sticky": kgo.CooperativeStickyBalancer(), "uniform": kgo.StickyBalancer(), "": kgo.CooperativeStickyBalancer(),
	}
	reset := kgo.NewOffset().AtEnd()
	if m.plan.Reset == "earliest" {
		reset = kgo.NewOffset().AtStart()
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(m.plan.Bootstrap), kgo.ConsumerGroup(m.plan.Group), kgo.ClientID(m.plan.Name),
		kgo.ConsumeResetOffset(reset), kgo.DisableAutoCommit(), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.Balancers(balancers[m.plan.Assignor]),
		kgo.SessionTimeout(time.Duration(m.plan.SessionMs) * time.Millisecond), kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.OnPartitionsAssigned(m.moved("assigned")), kgo.OnPartitionsRevoked(m.moved("revoked")), kgo.OnPartitionsLost(m.moved("lost")),
	}
	if m.plan.Instance != "" {
		options = append(options, kgo.InstanceID(m.plan.Instance))
	}
	if m.plan.Protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	}
	if m.plan.Pattern != "" {
		return append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(m.plan.Pattern))
	}
	return append(options, kgo.ConsumeTopics(m.plan.Topics...))
}

// commit stores the offset after each partition's last record, with the plan's metadata.
func (m *member) commit(offsets map[string]map[int32]kgo.EpochOffset) {
	withMetadata := func(request *kmsg.OffsetCommitRequest) error {
		for i := range request.Topics {
			for j := range request.Topics[i].Partitions {
				request.Topics[i].Partitions[j].Metadata = &m.plan.Metadata
			}
		}
		return nil
	}
	ctx := kgo.PreCommitFnContext(context.Background(), withMetadata)
	done := func(_ *kgo.Client, request *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		list := [][4]any{}
		if err == nil {
			for i, topic := range response.Topics {
				for j, partition := range topic.Partitions {
					if partition.ErrorCode == 0 {
						sent := request.Topics[i].Partitions[j]
						list = append(list, [4]any{request.Topics[i].Topic, partition.Partition, sent.Offset, m.plan.Metadata})
					} else {
						m.event("error", map[string]any{"m": fmt.Sprintf("commit: error code %d", partition.ErrorCode)})
					}
				}
			}
		}
		m.event("committed", map[string]any{"p": list})
	}
	if m.plan.Commit == "async" {
		m.client.CommitOffsets(ctx, offsets, done)
	} else {
		m.client.CommitOffsetsSync(ctx, offsets, done)
	}
}

func (m *member) poll() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	fetches := m.client.PollFetches(ctx)
	fetches.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() == nil {
			m.event("error", map[string]any{"m": fmt.Sprintf("%s-%d: %v", topic, partition, err)})
		}
	})
	offsets := map[string]map[int32]kgo.EpochOffset{}
	fetches.EachRecord(func(r *kgo.Record) {
		m.event("record", map[string]any{"t": r.Topic, "p": r.Partition, "o": r.Offset})
		if offsets[r.Topic] == nil {
			offsets[r.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
	})
	if len(offsets) > 0 {
		m.commit(offsets)
	}
}

func (m *member) obey(command string) {
	switch command {
	case "unsubscribe":
		// This client cannot stay without its subscription: it leaves its group.
		_ = m.client.LeaveGroupContext(context.Background())
		m.event("unsubscribed", nil)
	case "seek":
		offsets := map[string]map[int32]kgo.EpochOffset{}
		for topic, partitions := range m.client.CommittedOffsets() {
			offsets[topic] = map[int32]kgo.EpochOffset{}
			for partition := range partitions {
				offsets[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: 0}
			}
		}
		m.client.SetOffsets(offsets)
	case "committed":
		list := [][4]any{}
		for topic, partitions := range m.client.CommittedOffsets() {
			for partition, offset := range partitions {
				if offset.Offset >= 0 {
					list = append(list, [4]any{topic, partition, offset.Offset, nil})
				}
			}
		}
		m.event("fetched", map[string]any{"p": list})
	}
}

func runMember(text string) {
	m := &member{}
	if err := json.Unmarshal([]byte(text), &m.plan); err != nil {
		panic(err)
	}
	client, err := kgo.NewClient(m.options()...)
	if err != nil {
		m.event("error", map[string]any{"m": err.Error()})
		os.Exit(1)
	}
	m.client = client
	commands := make(chan string, 16)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			commands <- lines.Text()
		}
		commands <- "stop" // The driver is gone.
	}()
	for {
		select {
		case command := <-commands:
			if command == "stop" {
				client.Close()
				m.event("stopped", nil)
				return
			}
			m.obey(command)
		default:
			m.poll()
		}
	}
}
