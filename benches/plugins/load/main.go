// The clients of the measurements of plugins.
//
//	load flow <bootstrap> <topic> <partitions> <records> <records a second, 0: as fast as it goes>
//
// Six idempotent producers (the library has up to five requests in flight for them) write keyed records of 1 KiB to partitions of their choice, and a
// consumer reads them. Prints one line of JSON: seconds, p50 and p99 of the acknowledgement, and of the time from it until the
// record was read.
//
//	load refused <bootstrap> <topic> <attempts>
//
// Sends single records that are refused, each as another client, and prints the p50 and p99 of the time that takes.
//
//	load insist <bootstrap> <topic> <partitions>
//
// Sends to a topic until it is killed, whatever the answers.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	producers  = 6
	inFlight   = 5
	valueBytes = 1000
	keys       = 10_000
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	if len(os.Args) >= 5 && os.Args[1] == "flow" {
		flow(os.Args[2], os.Args[3], os.Args[4:])
	}
	if len(os.Args) == 5 && os.Args[1] == "refused" {
		refused(os.Args[2], os.Args[3], must(strconv.Atoi(os.Args[4])))
	}
	if len(os.Args) == 5 && os.Args[1] == "insist" {
		insist(os.Args[2], os.Args[3], must(strconv.Atoi(os.Args[4])))
	}
	fmt.Fprintln(os.Stderr, "usage: load flow|refused|insist <bootstrap> <topic> ...")
	os.Exit(2)
}

func part(values []int64, share float64) float64 {
	slices.Sort(values)
	return float64(values[int(share*float64(len(values)-1))]) / 1e6
}

func refused(bootstrap, topic string, attempts int) {
	times := make([]int64, attempts)
	for n := range times {
		client := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ClientID(fmt.Sprintf("refused-%d", n)), kgo.RecordRetries(0),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.DisableIdempotentWrite(),
			kgo.DefaultProduceTopic(topic), kgo.RequestRetries(0)))
		ctx := context.Background()
		must(0, client.Ping(ctx))
		// The first attempt learns of the topic as well.
		client.ProduceSync(ctx, kgo.StringRecord("first"))
		begun := time.Now()
		if err := client.ProduceSync(ctx, kgo.StringRecord("second")).FirstErr(); err == nil {
			must(0, fmt.Errorf("a record was taken that should be refused"))
		}
		times[n] = int64(time.Since(begun))
		client.Close()
	}
	fmt.Printf("{\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n", part(times, 0.5), part(times, 0.99))
	os.Exit(0)
}

func insist(bootstrap, topic string, partitions int) {
	client := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(inFlight),
		kgo.MaxBufferedRecords(1000), kgo.RecordRetries(0)))
	for n := 0; ; n++ {
		record := &kgo.Record{Topic: topic, Partition: int32(n % partitions), Value: make([]byte, valueBytes)}
		client.Produce(context.Background(), record, nil)
		time.Sleep(200 * time.Microsecond)
	}
}

func flow(bootstrap, topic string, numbers []string) {
	partitions, count, pace := must(strconv.Atoi(numbers[0])), must(strconv.Atoi(numbers[1])), must(strconv.Atoi(numbers[2]))
	acked, read := make([]atomic.Int64, count), make([]int64, count)
	latencies := make([]int64, count)
	begun := time.Now()
	elapsed := func() int64 { return int64(time.Since(begun)) }

	ends := map[int32]kgo.Offset{}
	for partition := range partitions {
		ends[int32(partition)] = kgo.NewOffset().AtEnd()
	}
	consumer := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMinBytes(1),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: ends})))
	var reading sync.WaitGroup
	reading.Add(1)
	go func() {
		defer reading.Done()
		for seen := 0; seen < count; {
			now := consumer.PollFetches(context.Background())
			at := elapsed()
			now.EachRecord(func(record *kgo.Record) {
				if n := binary.BigEndian.Uint64(record.Value); n < uint64(count) && read[n] == 0 {
					read[n] = at
					seen++
				}
			})
		}
	}()
	time.Sleep(time.Second)

	started := elapsed()
	var writing sync.WaitGroup
	for producer := range producers {
		writing.Add(1)
		go func() {
			defer writing.Done()
			client := must(kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()),
				kgo.MaxBufferedRecords(20_000)))
			defer client.Close()
			chance := rand.New(rand.NewSource(int64(producer)))
			chosen := int32(0)
			for n := producer; n < count; n += producers {
				if pace > 0 {
					due := started + int64(n)*int64(time.Second)/int64(pace)
					if wait := due - elapsed(); wait > int64(time.Millisecond) {
						time.Sleep(time.Duration(wait))
					}
				}
				// As sticky as clients are: some records to one partition, so that batches are large.
				if chance.Intn(100) == 0 {
					chosen = chance.Int31n(int32(partitions))
				}
				value := make([]byte, valueBytes)
				binary.BigEndian.PutUint64(value, uint64(n))
				record := &kgo.Record{Topic: topic, Partition: chosen, Key: fmt.Appendf(nil, "key-%d", chance.Intn(keys)), Value: value}
				called := elapsed()
				client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
					must(0, err)
					at := elapsed()
					latencies[n] = at - called
					acked[n].Store(at)
				})
			}
			must(0, client.Flush(context.Background()))
		}()
	}
	writing.Wait()
	seconds := float64(elapsed()-started) / 1e9
	reading.Wait()
	visible := make([]int64, count)
	for n := range visible {
		visible[n] = max(0, read[n]-acked[n].Load())
	}
	out := must(json.Marshal(map[string]float64{
		"seconds": seconds, "ack_p50_ms": part(latencies, 0.5), "ack_p99_ms": part(latencies, 0.99),
		"visible_p50_ms": part(visible, 0.5), "visible_p99_ms": part(visible, 0.99),
	}))
	fmt.Println(string(out))
	os.Exit(0)
}
