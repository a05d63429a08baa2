// A minimal client of an object source: net/http, keep-alive, a number of workers.
//
// It prints the seconds and CPU seconds that the lookups took. Run it with GOMAXPROCS=1 for one core.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// cpu returns the CPU seconds of this process so far.
func cpu() float64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		log.Fatal(err)
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func main() {
	url := flag.String("url", "http://127.0.0.1:9010", "the source")
	lookups := flag.Int64("lookups", 100000, "how many")
	flying := flag.Int("in-flight", 250, "how many at a time")
	expected := flag.String("expected", "", "the body of each answer")
	flag.Parse()
	transport := &http.Transport{
		MaxIdleConns:        *flying,
		MaxIdleConnsPerHost: *flying,
		MaxConnsPerHost:     *flying,
		DisableCompression:  true,
	}
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	var next atomic.Int64
	var workers sync.WaitGroup
	started, before := time.Now(), cpu()
	for i := 0; i < *flying; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				id := next.Add(1)
				if id > *lookups {
					return
				}
				reply, err := client.Get(fmt.Sprintf("%s/objects/%d", *url, id))
				if err != nil {
					log.Fatal(err)
				}
				body, err := io.ReadAll(reply.Body)
				reply.Body.Close()
				if err != nil || reply.StatusCode != http.StatusOK || string(body) != *expected {
					log.Fatalf("%v %d %q", err, reply.StatusCode, body)
				}
			}
		}()
	}
	workers.Wait()
	fmt.Printf("%.6f %.6f\n", time.Since(started).Seconds(), cpu()-before)
}
