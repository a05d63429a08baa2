// The counter, the timestamp and the hash as a minimal Go program: net/http, a mutex, memory.
//
// It does less than the services it is compared with: the counter survives no death of the
// process, replies carry no entity tag, jobs are never evicted, and nothing is limited or drained. With -sync each PUT
// writes and fsyncs on its own before it is answered.
package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	window       = 60 * time.Second
	maxTimestamp = 64
)

// counter holds the arrivals of the last minute in a ring that doubles when it is full.
type counter struct {
	mutex    sync.Mutex
	arrivals []int64
	first    int
	size     int
	started  time.Time
}

func newCounter() *counter {
	return &counter{arrivals: make([]int64, 1024), started: time.Now()}
}

// add counts a request that comes now and returns how many came in the window.
func (c *counter) add() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	now := int64(time.Since(c.started))
	mask := len(c.arrivals) - 1
	for c.size > 0 && c.arrivals[c.first] <= now-int64(window) {
		c.first = (c.first + 1) & mask
		c.size--
	}
	if c.size == len(c.arrivals) {
		larger := make([]int64, 2*len(c.arrivals))
		copied := copy(larger, c.arrivals[c.first:])
		copy(larger[copied:], c.arrivals[:c.first])
		c.arrivals, c.first = larger, 0
		mask = len(larger) - 1
	}
	c.arrivals[(c.first+c.size)&mask] = now
	c.size++
	return c.size
}

func (c *counter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Write(strconv.AppendInt(nil, int64(c.add()), 10))
}

// timestamp holds one value, in a file too if there is one.
type timestamp struct {
	mutex sync.RWMutex
	value []byte
	file  *os.File
}

func (t *timestamp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		t.read(w)
	case http.MethodPut:
		t.write(w, r)
	default:
		w.Header().Set("Allow", "GET, PUT")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

func (t *timestamp) read(w http.ResponseWriter) {
	t.mutex.RLock()
	value := t.value
	t.mutex.RUnlock()
	if value == nil {
		http.Error(w, "no timestamp is stored", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(value)
}

func (t *timestamp) write(w http.ResponseWriter, r *http.Request) {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTimestamp))
	if err == nil {
		value = bytes.TrimSpace(value)
		_, err = strconv.ParseFloat(string(value), 64)
	}
	if err != nil {
		http.Error(w, "not a timestamp", http.StatusBadRequest)
		return
	}
	if err := t.set(value); err != nil {
		http.Error(w, "not stored", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// set stores a value, on disk before in memory.
func (t *timestamp) set(value []byte) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.file != nil {
		record := append(bytes.Repeat([]byte(" "), maxTimestamp), '\n')
		copy(record, value)
		if _, err := t.file.WriteAt(record, 0); err != nil {
			return err
		}
		if err := t.file.Sync(); err != nil {
			return err
		}
	}
	t.value = value
	return nil
}

// jobs holds the digests, and when each may be read; the first has the id 1.
type jobs struct {
	mutex   sync.RWMutex
	delay   time.Duration
	digests [][sha512.Size]byte
	due     []time.Time
}

func (j *jobs) add(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	password := r.PostFormValue("password")
	if password == "" {
		http.Error(w, "a password is needed", http.StatusBadRequest)
		return
	}
	digest := sha512.Sum512([]byte(password))
	due := time.Now().Add(j.delay)
	j.mutex.Lock()
	j.digests = append(j.digests, digest)
	j.due = append(j.due, due)
	id := len(j.digests)
	j.mutex.Unlock()
	text := strconv.Itoa(id)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Location", "/hash/"+text)
	io.WriteString(w, text)
}

func (j *jobs) read(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.URL.Path[len("/hash/"):])
	if err != nil || id < 1 {
		http.Error(w, "not an id", http.StatusBadRequest)
		return
	}
	j.mutex.RLock()
	known := id <= len(j.digests)
	var digest [sha512.Size]byte
	var due time.Time
	if known {
		digest, due = j.digests[id-1], j.due[id-1]
	}
	j.mutex.RUnlock()
	if !known {
		http.Error(w, "no such job", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	if time.Now().Before(due) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "pending")
		return
	}
	io.WriteString(w, base64.StdEncoding.EncodeToString(digest[:]))
}

func main() {
	address := flag.String("addr", "127.0.0.1:8000", "where to listen")
	delay := flag.Duration("delay", 5*time.Second, "until a hash can be read")
	durable := flag.Bool("sync", false, "fsync each timestamp, in the working folder")
	flag.Parse()
	stored := &timestamp{}
	if *durable {
		file, err := os.Create("timestamp")
		if err != nil {
			log.Fatal(err)
		}
		stored.file = file
	}
	mux := http.NewServeMux()
	mux.Handle("/", newCounter())
	mux.Handle("/timestamp", stored)
	hashes := &jobs{delay: *delay}
	mux.HandleFunc("/hash", hashes.add)
	mux.HandleFunc("/hash/", hashes.read)
	if err := http.ListenAndServe(*address, mux); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
