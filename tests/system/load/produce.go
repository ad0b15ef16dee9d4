// The load: idempotent producers that write numbered records, told over stdin how fast.
//
// Commands, one a line, each answered by one line: `pace <records/s>` (0: as fast as it goes) → `ok`; `inflight` →
// `<requests sent and not answered>`; `mark` → `<ledger lines written>`; `stop` → `<acknowledged> <failed>`.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	produceKey = 0
	// What one client may hold unacknowledged: enough for five requests, little enough to drain fast.
	bufferedMax = 400
	// Small batches, so that what is buffered becomes several requests.
	batchBytesMax = 2048
	valueMin      = 100
	valueMax      = 900
	flushMax      = 120 * time.Second
)

type target struct {
	Name       string
	Partitions int32
}

type producePlan struct {
	Bootstrap, Ledger, Prefix string
	Clients                   int
	Seed                      int64
	Topics                    []target
	// The broker decides which partition a record belongs to: see routed.go.
	Routed bool
}

type ledger struct {
	mu     sync.Mutex
	file   *os.File
	out    *bufio.Writer
	lines  int64
	failed int64
}

func (l *ledger) acked(record *kgo.Record, client string, number int64) {
	l.line("%s %d %d %s %d\n", record.Topic, record.Partition, record.Offset, client, number)
}

func (l *ledger) line(format string, values ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format, values...)
	l.lines++
}

func (l *ledger) lost(client string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if l.failed <= 5 {
		fmt.Fprintf(os.Stderr, "%s: a delivery failed: %v\n", client, err)
	}
}

func (l *ledger) mark() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	must(l.out.Flush())
	return l.lines
}

// inFlight counts the Produce requests of one client that were written and not answered.
type inFlight struct{ count atomic.Int64 }

func (f *inFlight) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == produceKey && err == nil {
		f.count.Add(1)
	}
}

func (f *inFlight) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == produceKey && err == nil && f.count.Add(-1) < 0 {
		f.count.Store(0)
	}
}

func (f *inFlight) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { f.count.Store(0) }

type load struct {
	plan    producePlan
	ledger  ledger
	pace    atomic.Int64
	stop    atomic.Bool
	flights []*inFlight
	padding []byte
	done    sync.WaitGroup
}

var codecs = []kgo.CompressionCodec{
	kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.GzipCompression(),
}

func (l *load) client(number int) {
	defer l.done.Done()
	name := fmt.Sprintf("%s%d", l.plan.Prefix, number)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(l.plan.Bootstrap), kgo.ClientID(name), kgo.WithHooks(l.flights[number]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[number%len(codecs)]),
		kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(batchBytesMax), kgo.MaxBufferedRecords(bufferedMax), kgo.StopProducerOnDataLossDetected(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.DialTimeout(2*time.Second),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.RetryTimeout(flushMax),
	)
	must(err)
	defer client.Close()
	chance := rand.New(rand.NewSource(l.plan.Seed + int64(number)))
	for count := int64(0); !l.stop.Load(); count++ {
		topic := l.plan.Topics[chance.Intn(len(l.plan.Topics))]
		size := valueMin + chance.Intn(valueMax-valueMin)
		from := chance.Intn(len(l.padding) - size)
		value := append(fmt.Appendf(nil, "%s-%d-", name, count), l.padding[from:from+size]...)
		record := &kgo.Record{Topic: topic.Name, Partition: chance.Int31n(topic.Partitions), Value: value}
		if l.plan.Routed {
			l.produceRouted(client, record, chance, name, count)
			l.wait(chance)
			continue
		}
		client.Produce(context.Background(), record, func(record *kgo.Record, err error) {
			if err != nil {
				l.ledger.lost(name, err)
				return
			}
			l.ledger.acked(record, name, count)
		})
		l.wait(chance)
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushMax)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		l.ledger.lost(name, err)
	}
}

// wait keeps to the pace; a change of it is seen after 20 ms at the latest.
func (l *load) wait(chance *rand.Rand) {
	begun := time.Now()
	share := 0.5 + chance.Float64()
	for !l.stop.Load() {
		pace := l.pace.Load()
		if pace == 0 {
			return
		}
		left := time.Duration(share*float64(l.plan.Clients)/float64(pace)*float64(time.Second)) - time.Since(begun)
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 20*time.Millisecond))
	}
}

func (l *load) answer(command string) string {
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "pace":
		var pace int64
		if _, err := fmt.Sscan(rest, &pace); err != nil {
			return "error: " + err.Error()
		}
		l.pace.Store(pace)
		return "ok"
	case "inflight":
		total := int64(0)
		for _, flight := range l.flights {
			total += flight.count.Load()
		}
		return fmt.Sprint(total)
	case "mark":
		return fmt.Sprint(l.ledger.mark())
	case "stop":
		l.stop.Store(true)
		l.done.Wait()
		return fmt.Sprintf("%d %d", l.ledger.mark(), l.ledger.failed)
	}
	return "error: unknown command " + command
}

func produce(path string) {
	l := &load{padding: make([]byte, 1<<16)}
	data, err := os.ReadFile(path)
	must(err)
	must(json.Unmarshal(data, &l.plan))
	l.ledger.file, err = os.Create(l.plan.Ledger)
	must(err)
	l.ledger.out = bufio.NewWriterSize(l.ledger.file, 1<<20)
	rand.New(rand.NewSource(l.plan.Seed)).Read(l.padding)
	l.pace.Store(1)
	l.done.Add(l.plan.Clients)
	for range l.plan.Clients {
		l.flights = append(l.flights, &inFlight{})
	}
	for number := range l.plan.Clients {
		go l.client(number)
	}
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		fmt.Println(l.answer(commands.Text()))
	}
}
