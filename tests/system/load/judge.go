// The judge: reads everything a broker has and compares it with the ledgers.
//
// Per partition, between log start and end: an acknowledged record is at the offset of its acknowledgement; a client's
// numbers only rise (no record twice, none out of order); a topic with an owner holds nothing of anyone else. An
// acknowledged record below the log start is excused: whether the start may be there is checked against `Floor` (an
// acknowledged deletion) and `Ceiling` (the highest deletion ever asked for; -1: retention may move it anywhere).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	patience    = 60 * time.Second
	problemsMax = 20
)

type ledgerPart struct {
	File  string
	Lines int64
}

type judgedTopic struct {
	Name           string
	Owner          string
	Floor, Ceiling []int64
}

type judgePlan struct {
	Bootstrap string
	Ledgers   []ledgerPart
	Topics    []judgedTopic
}

type verdict struct {
	Acked, Stored, Deleted, Missing, Twice, Disorder, Foreign, Starts int64
	Problems                                                          []string
}

func (v *verdict) problem(count *int64, format string, values ...any) {
	*count++
	if len(v.Problems) < problemsMax {
		v.Problems = append(v.Problems, fmt.Sprintf(format, values...))
	}
}

type place struct {
	topic     string
	partition int32
}

type name struct {
	client string
	number int64
}

// stored is one partition: what is at each offset, and where each record is.
type stored struct {
	start, end int64
	at         map[int64]name
	where      map[name]int64
	last       map[string]int64
}

type court struct {
	plan    judgePlan
	verdict verdict
	found   map[place]*stored
	owners  map[string]string
	clients map[string]string
}

func (c *court) bounds(ctx context.Context, client *kgo.Client) map[string]map[int32]kgo.Offset {
	admin := kadm.NewClient(client)
	var names []string
	for _, topic := range c.plan.Topics {
		names = append(names, topic.Name)
		c.owners[topic.Name] = topic.Owner
	}
	starts, err := admin.ListStartOffsets(ctx, names...)
	must(err)
	ends, err := admin.ListEndOffsets(ctx, names...)
	must(err)
	assigned := map[string]map[int32]kgo.Offset{}
	for _, topic := range c.plan.Topics {
		assigned[topic.Name] = map[int32]kgo.Offset{}
		for partition := range topic.Floor {
			p := int32(partition)
			start, found := starts.Lookup(topic.Name, p)
			end, _ := ends.Lookup(topic.Name, p)
			if !found || start.Err != nil || end.Err != nil {
				c.verdict.problem(&c.verdict.Starts, "%s-%d: no offsets: %v %v", topic.Name, p, start.Err, end.Err)
				continue
			}
			c.found[place{topic.Name, p}] = &stored{start.Offset, end.Offset, map[int64]name{}, map[name]int64{}, map[string]int64{}}
			floor, ceiling := topic.Floor[partition], topic.Ceiling[partition]
			if start.Offset < floor || ceiling >= 0 && start.Offset > ceiling {
				c.verdict.problem(&c.verdict.Starts, "%s-%d begins at %d; deleted was up to %d, asked for at most %d",
					topic.Name, p, start.Offset, floor, ceiling)
			}
			if end.Offset > start.Offset {
				assigned[topic.Name][p] = kgo.NewOffset().At(start.Offset)
			}
		}
	}
	return assigned
}

func (c *court) add(record *kgo.Record) {
	here := place{record.Topic, record.Partition}
	part := c.found[here]
	if record.Offset < part.start || record.Offset >= part.end {
		return
	}
	words := strings.SplitN(string(record.Value[:min(len(record.Value), 64)]), "-", 3)
	if len(words) != 3 {
		c.verdict.problem(&c.verdict.Foreign, "%s-%d@%d: not a record of ours", record.Topic, record.Partition, record.Offset)
		return
	}
	number, err := strconv.ParseInt(words[1], 10, 64)
	must(err)
	client, known := c.clients[words[0]]
	if !known {
		client = words[0]
		c.clients[client] = client
	}
	if owner := c.owners[record.Topic]; owner != "" && owner != client {
		c.verdict.problem(&c.verdict.Foreign, "%s-%d@%d: a record of %s in the topic of %s", record.Topic, record.Partition,
			record.Offset, client, owner)
	}
	who := name{client, number}
	if _, taken := part.at[record.Offset]; taken {
		return
	}
	c.verdict.Stored++
	part.at[record.Offset] = who
	if before, again := part.where[who]; again {
		c.verdict.problem(&c.verdict.Twice, "%s-%d: %s-%d is at %d and at %d", record.Topic, record.Partition, client, number,
			before, record.Offset)
		return
	}
	part.where[who] = record.Offset
	if last, any := part.last[client]; any && number < last {
		c.verdict.problem(&c.verdict.Disorder, "%s-%d@%d: %s-%d comes after %d", record.Topic, record.Partition, record.Offset,
			client, number, last)
	}
	part.last[client] = number
}

func (c *court) read(client *kgo.Client, assigned map[string]map[int32]kgo.Offset) {
	left := map[place]bool{}
	for topic, partitions := range assigned {
		for partition := range partitions {
			left[place{topic, partition}] = true
		}
	}
	client.AddConsumePartitions(assigned)
	deadline, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	for len(left) > 0 {
		fetches := client.PollFetches(deadline)
		for _, failed := range fetches.Errors() {
			c.verdict.problem(&c.verdict.Missing, "reading %s-%d: %v", failed.Topic, failed.Partition, failed.Err)
		}
		if deadline.Err() != nil || len(fetches.Errors()) > 0 {
			for here := range left {
				c.verdict.problem(&c.verdict.Missing, "%s-%d: not read to its end", here.topic, here.partition)
			}
			return
		}
		fetches.EachRecord(func(record *kgo.Record) {
			c.add(record)
			here := place{record.Topic, record.Partition}
			if record.Offset+1 >= c.found[here].end {
				delete(left, here)
			}
		})
	}
}

func (c *court) compare(part ledgerPart) {
	file, err := os.Open(part.File)
	must(err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	for count := int64(0); (part.Lines < 0 || count < part.Lines) && lines.Scan(); count++ {
		c.verdict.Acked++
		words := strings.Fields(lines.Text())
		partition, _ := strconv.Atoi(words[1])
		offset, _ := strconv.ParseInt(words[2], 10, 64)
		number, _ := strconv.ParseInt(words[4], 10, 64)
		here, who := c.found[place{words[0], int32(partition)}], name{words[3], number}
		if here == nil {
			c.verdict.problem(&c.verdict.Missing, "acknowledged and missing: %s, its partition is not there", lines.Text())
			continue
		}
		if offset >= 0 && offset < here.start {
			c.verdict.Deleted++
			continue
		}
		// An acknowledgement of a duplicate that is too old for its offset comes without one.
		if at, there := here.where[who]; !there || offset >= 0 && at != offset {
			c.verdict.problem(&c.verdict.Missing, "acknowledged and missing: %s (log %d to %d, found at %d: %t)", lines.Text(),
				here.start, here.end, at, there)
		}
	}
	must(lines.Err())
}

func judge(path string) {
	c := &court{found: map[place]*stored{}, owners: map[string]string{}, clients: map[string]string{}}
	c.verdict.Problems = []string{}
	data, err := os.ReadFile(path)
	must(err)
	must(json.Unmarshal(data, &c.plan))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.plan.Bootstrap), kgo.FetchMaxWait(200*time.Millisecond),
		kgo.FetchMaxBytes(32<<20), kgo.FetchMaxPartitionBytes(8<<20), kgo.RetryTimeout(patience))
	must(err)
	defer client.Close()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	c.read(client, c.bounds(ctx, client))
	for _, part := range c.plan.Ledgers {
		c.compare(part)
	}
	out, err := json.Marshal(c.verdict)
	must(err)
	fmt.Println(string(out))
}
