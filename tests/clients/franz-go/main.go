// franz-go: the features it has, against the broker of the plan.
// Contract of a client program (plan in, result lines out): ../README.md
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	baseTs = int64(1_700_000_000_000)
	wait   = 20 * time.Second
)

type topic struct {
	Topic, Codec, Feature, Corpus string
	Partitions                    int32
	Configs                       map[string]*string
}

type job struct {
	Feature, Topic, From, Out string
	Partitions                []int32
	Value                     int64
	Expect                    int
}

type plan struct {
	Bootstrap, Prefix, Results string
	Topics                     []topic
	Admin                      bool
	Reads                      []job
}

type record struct {
	P  int32        `json:"p"`
	O  int64        `json:"o"`
	Ts *int64       `json:"ts"`
	K  *string      `json:"k"`
	V  *string      `json:"v"`
	H  [][2]*string `json:"h"`
}

type program struct {
	plan plan
	out  *os.File
	adm  *kadm.Client
}

func (p *program) line(v any) {
	data, _ := json.Marshal(v)
	fmt.Fprintf(p.out, "%s\n", data)
}

func (p *program) result(feature, name string, ok bool, detail string) {
	p.line(map[string]any{"feature": feature, "name": name, "ok": ok, "detail": detail})
}

func (p *program) check(feature, name string, step func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err := step(ctx)
	p.result(feature, name, err == nil, fmt.Sprint(err))
}

func (p *program) refuses(name string, wanted *kerr.Error, step func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	err := step(ctx)
	p.result("errors", name, errors.Is(err, wanted), fmt.Sprintf("expected %s, got %v", wanted.Message, err))
}

func equal(got, wanted any, what string) error {
	if !reflect.DeepEqual(got, wanted) {
		return fmt.Errorf("%s: expected %v, got %v", what, wanted, got)
	}
	return nil
}

func raw(text *string) []byte {
	if text == nil {
		return nil
	}
	data, err := hex.DecodeString(*text)
	if err != nil {
		panic(err)
	}
	if data == nil {
		data = []byte{}
	}
	return data
}

func text(data []byte) *string {
	if data == nil {
		return nil
	}
	s := hex.EncodeToString(data)
	return &s
}

func (p *program) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.plan.Bootstrap), kgo.RetryTimeout(10 * time.Second)}, opts...)...)
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (p *program) produce(ctx context.Context, name, codec string, records []record) error {
	cl, err := p.client(kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(200*time.Millisecond), kgo.ProducerBatchMaxBytes(8<<20), kgo.BrokerMaxWriteBytes(16<<20))
	if err != nil {
		return err
	}
	defer cl.Close()
	var sent []*kgo.Record
	for _, r := range records {
		rec := &kgo.Record{Topic: name, Partition: r.P, Key: raw(r.K), Value: raw(r.V)}
		if r.Ts != nil {
			rec.Timestamp = time.UnixMilli(*r.Ts)
		}
		for _, h := range r.H {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: *h[0], Value: raw(h[1])})
		}
		sent = append(sent, rec)
	}
	return cl.ProduceSync(ctx, sent...).FirstErr()
}

func (p *program) create(ctx context.Context, name string, partitions int32, configs map[string]*string, replication int16) error {
	_, err := p.adm.CreateTopic(ctx, partitions, replication, configs, name)
	return err
}

func (p *program) write(t topic) {
	p.check("create", "create "+t.Topic, func(ctx context.Context) error {
		return p.create(ctx, t.Topic, t.Partitions, t.Configs, 1)
	})
	p.check(t.Feature, "produce "+t.Codec, func(ctx context.Context) error {
		data, err := os.ReadFile(t.Corpus)
		if err != nil {
			return err
		}
		var records []record
		if err := json.Unmarshal(data, &records); err != nil {
			return err
		}
		return p.produce(ctx, t.Topic, t.Codec, records)
	})
}

func (p *program) config(ctx context.Context, name, key string) (string, error) {
	found, err := p.adm.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return "", err
	}
	one, err := found.On(name, nil)
	if err != nil {
		return "", err
	}
	if one.Err != nil {
		return "", one.Err
	}
	for _, c := range one.Configs {
		if c.Key == key {
			return c.MaybeValue(), nil
		}
	}
	return "", fmt.Errorf("no config %s", key)
}

// eventually waits for a value: in a cluster an accepted change reaches the broker that answers a little later.
func eventually(wanted any, what string, read func() (any, error)) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		got, err := read()
		if err != nil {
			return err
		}
		if err = equal(got, wanted, what); err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *program) configIs(ctx context.Context, name, key, wanted string) error {
	return eventually(wanted, key, func() (any, error) { return p.config(ctx, name, key) })
}

func (p *program) alter(ctx context.Context, name, key string, value *string, op kadm.IncrementalOp) error {
	answer, err := p.adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: key, Value: value}}, name)
	if err != nil {
		return err
	}
	return answer[0].Err
}

func str(s string) *string { return &s }

func plain(count, size int, timed bool) []record {
	var out []record
	for i := 0; i < count; i++ {
		r := record{V: str(strings.Repeat("78", size))}
		if timed {
			ts := baseTs + int64(i)
			r.Ts = &ts
		}
		out = append(out, r)
	}
	return out
}

func (p *program) tryAdmin() {
	t := p.plan.Prefix + ".admin"
	p.check("create", "create with configs", func(ctx context.Context) error {
		return p.create(ctx, t, 3, map[string]*string{"retention.ms": str("-1")}, 1)
	})
	p.check("describe", "list one topic", func(ctx context.Context) error {
		all, err := p.adm.ListTopics(ctx, t)
		if err != nil {
			return err
		}
		return equal(len(all[t].Partitions), 3, "partitions")
	})
	p.check("partitions", "grow to 5", func(ctx context.Context) error {
		answer, err := p.adm.UpdatePartitions(ctx, 5, t)
		if err != nil {
			return err
		}
		if err := answer.Error(); err != nil {
			return err
		}
		return eventually(5, "partitions", func() (any, error) {
			all, err := p.adm.ListTopics(ctx, t)
			return len(all[t].Partitions), err
		})
	})
	p.tryConfigs(t)
	p.tryRecords(t)
	p.check("cluster", "describe", func(ctx context.Context) error {
		meta, err := p.adm.BrokerMetadata(ctx)
		if err != nil {
			return err
		}
		return equal([]any{len(meta.Brokers), meta.Cluster != "", meta.Controller >= 0}, []any{1, true, true}, "cluster")
	})
	p.check("log-dirs", "describe", func(ctx context.Context) error {
		dirs, err := p.adm.DescribeAllLogDirs(ctx, nil)
		if err != nil {
			return err
		}
		found := fmt.Errorf("%s is not listed", t)
		dirs.Each(func(d kadm.DescribedLogDir) {
			if _, ok := d.Topics[t]; ok && d.Err == nil {
				found = nil
			}
		})
		return found
	})
	p.tryErrors(t)
	p.check("delete", "delete topic", func(ctx context.Context) error {
		if _, err := p.adm.DeleteTopic(ctx, t); err != nil {
			return err
		}
		for ctx.Err() == nil {
			all, err := p.adm.ListTopics(ctx)
			if err != nil || !all.Has(t) {
				return err
			}
			time.Sleep(50 * time.Millisecond)
		}
		return errors.New("still listed")
	})
}

func (p *program) tryConfigs(t string) {
	p.check("configs", "incremental alter and describe", func(ctx context.Context) error {
		return errors.Join(
			p.configIs(ctx, t, "retention.ms", "-1"),
			p.alter(ctx, t, "max.message.bytes", str("2000"), kadm.SetConfig),
			p.configIs(ctx, t, "max.message.bytes", "2000"),
			p.alter(ctx, t, "cleanup.policy", str("compact"), kadm.AppendConfig),
			p.configIs(ctx, t, "cleanup.policy", "delete,compact"),
			p.alter(ctx, t, "cleanup.policy", str("compact"), kadm.SubtractConfig),
			p.configIs(ctx, t, "cleanup.policy", "delete"),
			p.alter(ctx, t, "max.message.bytes", nil, kadm.DeleteConfig),
			p.configIs(ctx, t, "max.message.bytes", "1048588"))
	})
	p.check("configs", "alter replaces all (key 33)", func(ctx context.Context) error {
		answer, err := p.adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "segment.ms", Value: str("3600000")}}, t)
		if err != nil {
			return err
		}
		return errors.Join(answer[0].Err, p.configIs(ctx, t, "segment.ms", "3600000"),
			p.configIs(ctx, t, "retention.ms", "604800000"), p.alter(ctx, t, "retention.ms", str("-1"), kadm.SetConfig))
	})
}

func (p *program) tryRecords(t string) {
	offset := func(list func() (kadm.ListedOffsets, error), wanted int64, what string) error {
		got, err := list()
		if err != nil {
			return err
		}
		one, _ := got.Lookup(t, 0)
		return errors.Join(one.Err, equal(one.Offset, wanted, what))
	}
	p.check("list-offsets", "start, end, by time, max timestamp", func(ctx context.Context) error {
		return errors.Join(
			p.produce(ctx, t, "none", plain(10, 5, true)),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListStartOffsets(ctx, t) }, 0, "start"),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListEndOffsets(ctx, t) }, 10, "end"),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListCommittedOffsets(ctx, t) }, 10, "committed end"),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListOffsetsAfterMilli(ctx, baseTs+6, t) }, 6, "by time"),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListMaxTimestampOffsets(ctx, t) }, 9, "max timestamp"))
	})
	p.check("delete-records", "up to 4", func(ctx context.Context) error {
		var upTo kadm.Offsets
		upTo.AddOffset(t, 0, 4, -1)
		answer, err := p.adm.DeleteRecords(ctx, upTo)
		if err != nil {
			return err
		}
		one, _ := answer.Lookup(t, 0)
		return errors.Join(one.Err, equal(one.LowWatermark, int64(4), "low watermark"),
			offset(func() (kadm.ListedOffsets, error) { return p.adm.ListStartOffsets(ctx, t) }, 4, "start"))
	})
}

func (p *program) tryErrors(t string) {
	p.refuses("topic exists", kerr.TopicAlreadyExists, func(ctx context.Context) error { return p.create(ctx, t, 1, nil, 1) })
	p.refuses("bad topic name", kerr.InvalidTopicException, func(ctx context.Context) error {
		return p.create(ctx, "bad name!", 1, nil, 1)
	})
	p.refuses("no partitions", kerr.InvalidPartitions, func(ctx context.Context) error {
		return p.create(ctx, p.plan.Prefix+".none", 0, nil, 1)
	})
	p.refuses("replication factor 3", kerr.InvalidReplicationFactor, func(ctx context.Context) error {
		return p.create(ctx, p.plan.Prefix+".rf", 1, nil, 3)
	})
	p.refuses("bad config at create", kerr.InvalidConfig, func(ctx context.Context) error {
		return p.create(ctx, p.plan.Prefix+".cfg", 1, map[string]*string{"retention.ms": str("soon")}, 1)
	})
	p.refuses("unknown config", kerr.InvalidConfig, func(ctx context.Context) error {
		return p.alter(ctx, t, "no.such.config", str("1"), kadm.SetConfig)
	})
	p.refuses("bad config value", kerr.InvalidConfig, func(ctx context.Context) error {
		return p.alter(ctx, t, "retention.ms", str("soon"), kadm.SetConfig)
	})
	p.refuses("fewer partitions", kerr.InvalidPartitions, func(ctx context.Context) error {
		answer, err := p.adm.UpdatePartitions(ctx, 2, t)
		if err != nil {
			return err
		}
		return answer.Error()
	})
	p.refuses("record too large", kerr.MessageTooLarge, func(ctx context.Context) error {
		if err := p.alter(ctx, t, "max.message.bytes", str("2000"), kadm.SetConfig); err != nil {
			return err
		}
		if err := p.configIs(ctx, t, "max.message.bytes", "2000"); err != nil {
			return err
		}
		return p.produce(ctx, t, "none", plain(1, 10000, false))
	})
	p.refuses("unknown topic, no auto-creation", kerr.UnknownTopicOrPartition, func(ctx context.Context) error {
		all, err := p.adm.ListTopics(ctx, p.plan.Prefix+".missing")
		if err != nil {
			return err
		}
		return all.Error()
	})
	p.refuses("delete a missing topic", kerr.UnknownTopicOrPartition, func(ctx context.Context) error {
		_, err := p.adm.DeleteTopic(ctx, p.plan.Prefix+".missing")
		return err
	})
}

func (p *program) read(ctx context.Context, j job) error {
	offsets := map[int32]kgo.Offset{}
	for _, n := range j.Partitions {
		switch j.From {
		case "start":
			offsets[n] = kgo.NewOffset().AtStart()
		case "offset":
			offsets[n] = kgo.NewOffset().At(j.Value)
		default:
			offsets[n] = kgo.NewOffset().AfterMilli(j.Value)
		}
	}
	cl, err := p.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{j.Topic: offsets}),
		kgo.FetchMaxPartitionBytes(8<<20), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	out := []record{}
	for len(out) < j.Expect && ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			err = errors.Join(err, e.Err)
		}
		if err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			ts := r.Timestamp.UnixMilli()
			row := record{P: r.Partition, O: r.Offset, Ts: &ts, K: text(r.Key), V: text(r.Value), H: [][2]*string{}}
			for _, h := range r.Headers {
				row.H = append(row.H, [2]*string{str(h.Key), text(h.Value)})
			}
			out = append(out, row)
		})
	}
	data, _ := json.Marshal(out)
	if err := os.WriteFile(j.Out, data, 0o600); err != nil {
		return err
	}
	return equal(len(out), j.Expect, "records")
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "member" {
		runMember(os.Args[2])
		return
	}
	p := &program{}
	data, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(data, &p.plan)
	}
	if err == nil {
		p.out, err = os.Create(p.plan.Results)
	}
	var cl *kgo.Client
	if err == nil {
		cl, err = p.client()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p.adm = kadm.NewClient(cl)
	for _, t := range p.plan.Topics {
		p.write(t)
	}
	if p.plan.Admin {
		p.tryAdmin()
	}
	for _, j := range p.plan.Reads {
		p.check(j.Feature, "read "+j.Topic+" from "+j.From, func(ctx context.Context) error { return p.read(ctx, j) })
	}
	p.adm.Close()
	p.line(map[string]bool{"done": true})
}
