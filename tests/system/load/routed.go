// Records of a topic whose broker takes them to their partitions (`watershed.partitioner.mode = broker`): the load's part, and a
// judge.
//
// A ledger line: topic, partition that the client chose, client, number, key ("-" for none), and the milliseconds since 1970 of the
// call and of the acknowledgement. The value of a record is "<client>-<number>-<partition that the client chose>-<padding>".
//
// The judge holds: every acknowledged record is in exactly one partition, in one that a rule said which was in force between its
// call and its acknowledgement; and in each partition the numbers of one client that came in through one partition only rise.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	routedKeys   = 200
	nullKeysOf   = 20 // one record of so many has no key
	oldRecordsOf = 10 // one of so many is days old
	oldestHours  = 24 * 9
	slackMs      = 20
	quiet        = 700 * time.Millisecond
)

func (l *load) produceRouted(client *kgo.Client, record *kgo.Record, chance *rand.Rand, name string, number int64) {
	key, padding := "-", record.Value[len(fmt.Sprintf("%s-%d-", name, number)):]
	record.Value = append(fmt.Appendf(nil, "%s-%d-%d-", name, number, record.Partition), padding...)
	if chance.Intn(nullKeysOf) > 0 {
		key = fmt.Sprintf("k%d", chance.Intn(routedKeys))
		record.Key = []byte(key)
	}
	if chance.Intn(oldRecordsOf) == 0 {
		record.Timestamp = time.Now().Add(-time.Duration(1+chance.Intn(oldestHours)) * time.Hour)
	}
	called := time.Now().UnixMilli()
	chosen := record.Partition
	client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
		if err != nil {
			l.ledger.lost(name, err)
			return
		}
		l.ledger.line("%s %d %s %d %s %d %d\n", record.Topic, chosen, name, number, key, called, time.Now().UnixMilli())
	})
}

// rule is where records belonged from one moment to another, in milliseconds since 1970; an open end is -1.
type rule struct {
	From, Until  int64
	Routed       bool
	Partitioner  string
	Shift, Count int64
}

type routedPlan struct {
	Bootstrap, Topic string
	Partitions       int32
	Ledgers          []ledgerPart
	Rules            []rule
}

func murmur2(data []byte) uint32 {
	const m = 0x5bd1e995
	length := len(data)
	h := uint32(0x9747b28c) ^ uint32(length)
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

func (r rule) target(key string, chosen int32) int32 {
	if !r.Routed || key == "-" {
		return chosen
	}
	if r.Partitioner == "by-number" {
		number, err := strconv.ParseInt(key[1:], 10, 64)
		must(err)
		return int32((number + r.Shift) % r.Count)
	}
	return int32(int64(murmur2([]byte(key))&0x7fffffff) % r.Count)
}

// entry is one ledger line.
type entry struct {
	chosen           int32
	key              string
	called, answered int64
}

type routedVerdict struct {
	Acked, Stored, Moved, Missing, Twice, Disorder, Foreign int64
	Problems                                                []string
}

func (v *routedVerdict) problem(count *int64, format string, values ...any) {
	*count++
	if len(v.Problems) < problemsMax {
		v.Problems = append(v.Problems, fmt.Sprintf(format, values...))
	}
}

type routedCourt struct {
	plan    routedPlan
	verdict routedVerdict
	acked   map[name]entry
	where   map[name]string
	missing map[name]bool
	last    map[string]int64
}

func (c *routedCourt) readLedger(part ledgerPart) {
	file, err := os.Open(part.File)
	must(err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	for count := int64(0); (part.Lines < 0 || count < part.Lines) && lines.Scan(); count++ {
		words := strings.Fields(lines.Text())
		chosen, _ := strconv.Atoi(words[1])
		number, _ := strconv.ParseInt(words[3], 10, 64)
		called, _ := strconv.ParseInt(words[5], 10, 64)
		answered, _ := strconv.ParseInt(words[6], 10, 64)
		who := name{words[2], number}
		c.acked[who] = entry{int32(chosen), words[4], called, answered}
		c.missing[who] = true
	}
	must(lines.Err())
	c.verdict.Acked = int64(len(c.acked))
}

func (c *routedCourt) belongs(e entry, partition int32) bool {
	for _, rule := range c.plan.Rules {
		begun := rule.From <= e.answered+slackMs
		ended := rule.Until >= 0 && rule.Until < e.called-slackMs
		if begun && !ended && rule.target(e.key, e.chosen) == partition {
			return true
		}
	}
	return false
}

func (c *routedCourt) add(record *kgo.Record) {
	here := fmt.Sprintf("%d@%d", record.Partition, record.Offset)
	words := strings.SplitN(string(record.Value[:min(len(record.Value), 64)]), "-", 4)
	if len(words) != 4 {
		c.verdict.problem(&c.verdict.Foreign, "%s: not a record of ours", here)
		return
	}
	number, err := strconv.ParseInt(words[1], 10, 64)
	must(err)
	who := name{words[0], number}
	c.verdict.Stored++
	if before, again := c.where[who]; again {
		c.verdict.problem(&c.verdict.Twice, "%s-%d is at %s and at %s", who.client, number, before, here)
		return
	}
	c.where[who] = here
	delete(c.missing, who)
	if e, known := c.acked[who]; known {
		if e.chosen != record.Partition {
			c.verdict.Moved++
		}
		if !c.belongs(e, record.Partition) {
			c.verdict.problem(&c.verdict.Foreign, "%s: %s-%d with key %s, sent to %d between %d and %d, does not belong here", here,
				who.client, number, e.key, e.chosen, e.called, e.answered)
		}
	}
	stream := fmt.Sprintf("%d %s %s", record.Partition, words[0], words[2])
	if last, any := c.last[stream]; any && number < last {
		c.verdict.problem(&c.verdict.Disorder, "%s: %s-%d, which came in through %s, comes after %d", here, who.client, number,
			words[2], last)
	}
	c.last[stream] = number
}

// read reads until everything acknowledged was seen and nothing more comes: records arrive after their acknowledgement.
func (c *routedCourt) read(client *kgo.Client) {
	deadline := time.Now().Add(patience)
	for {
		ctx, stop := context.WithTimeout(context.Background(), quiet)
		fetches := client.PollFetches(ctx)
		stop()
		for _, failed := range fetches.Errors() {
			if ctx.Err() == nil {
				c.verdict.problem(&c.verdict.Missing, "reading partition %d: %v", failed.Partition, failed.Err)
				return
			}
		}
		count := 0
		fetches.EachRecord(func(record *kgo.Record) {
			count++
			c.add(record)
		})
		if count == 0 && (len(c.missing) == 0 || time.Now().After(deadline)) {
			return
		}
	}
}

func judgeRouted(path string) {
	c := &routedCourt{acked: map[name]entry{}, where: map[name]string{}, missing: map[name]bool{}, last: map[string]int64{}}
	c.verdict.Problems = []string{}
	data, err := os.ReadFile(path)
	must(err)
	must(json.Unmarshal(data, &c.plan))
	for _, part := range c.plan.Ledgers {
		c.readLedger(part)
	}
	assigned := map[int32]kgo.Offset{}
	for partition := range c.plan.Partitions {
		assigned[partition] = kgo.NewOffset().At(0)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.plan.Bootstrap), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxBytes(32<<20), kgo.FetchMaxPartitionBytes(8<<20), kgo.RetryTimeout(patience),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.plan.Topic: assigned}))
	must(err)
	defer client.Close()
	c.read(client)
	for who := range c.missing {
		e := c.acked[who]
		c.verdict.problem(&c.verdict.Missing, "acknowledged and nowhere: %s-%d with key %s, sent to %d between %d and %d", who.client,
			who.number, e.key, e.chosen, e.called, e.answered)
	}
	out, err := json.Marshal(c.verdict)
	must(err)
	fmt.Println(string(out))
}
