// The franz-go side of the crash tests: `produce` and `consume` are loads, `judge` and `judge-routed` compare a broker with what
// was acknowledged.
//
// A ledger is a text file with one line per acknowledged record: topic, partition, offset, client, number. The value of a
// record is "<client>-<number>-<padding>", and a client's numbers only rise, so every record says whose it is and which.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "produce" {
		produce(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "consume" {
		consume(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "judge" {
		judge(os.Args[2])
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "judge-routed" {
		judgeRouted(os.Args[2])
		return
	}
	fmt.Fprintln(os.Stderr, "usage: load produce|consume|judge|judge-routed <plan.json>")
	os.Exit(2)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
