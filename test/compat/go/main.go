// Drives the official Go client: commands as lines on stdin, one JSON line on stdout for each.
//
// usage: pegasus-go-probe [--timeout-ms N] <meta host:port>...
// A line is a JSON list of strings or plain words:
// open T | set T H S V [ttl s] | get T H S | del T H S | ttl T H S | quit
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/apache/incubator-pegasus/go-client/pegalog"
	"github.com/apache/incubator-pegasus/go-client/pegasus"
)

const maxLine = 16 << 20

type reply struct {
	Cmd   string      `json:"cmd"`
	OK    bool        `json:"ok"`
	Value interface{} `json:"value,omitempty"`
	Error string      `json:"error,omitempty"`
	Ms    float64     `json:"ms"`
}

type probe struct {
	client  pegasus.Client
	tables  map[string]pegasus.TableConnector
	timeout time.Duration
}

var arity = map[string][2]int{"open": {1, 1}, "set": {4, 5}, "get": {3, 3}, "del": {3, 3}, "ttl": {3, 3}, "quit": {0, 0}}

func main() {
	timeoutMs := flag.Int("timeout-ms", 2000, "context deadline of each operation")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: pegasus-go-probe [--timeout-ms N] <meta host:port>...")
		os.Exit(2)
	}

	// Sessions keep the logger they are born with: set it before the client.
	pegalog.SetLogger(pegalog.StderrLogger)
	p := &probe{
		client:  pegasus.NewClient(pegasus.Config{MetaServers: flag.Args()}),
		tables:  map[string]pegasus.TableConnector{},
		timeout: time.Duration(*timeoutMs) * time.Millisecond,
	}

	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	_ = out.Encode(reply{Cmd: "ready", OK: true})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	for lines.Scan() {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		r := p.run(text)
		_ = out.Encode(r)
		if r.Cmd == "quit" && r.OK {
			// Close() waits for every session's loops, up to their 30 s read timeout: leave instead.
			os.Exit(0)
		}
	}
}

func (p *probe) run(text string) reply {
	start := time.Now()
	cmd, args, err := parse(text)
	var value interface{}
	if err == nil {
		value, err = p.execute(cmd, args)
	}
	r := reply{Cmd: cmd, OK: err == nil, Value: value}
	if err != nil {
		r.Error = err.Error()
		r.Value = nil
	}
	r.Ms = math.Round(float64(time.Since(start).Microseconds())/100) / 10
	return r
}

func parse(text string) (string, []string, error) {
	words := strings.Fields(text)
	if strings.HasPrefix(text, "[") {
		words = nil
		if err := json.Unmarshal([]byte(text), &words); err != nil {
			return "?", nil, err
		}
	}
	if len(words) == 0 {
		return "?", nil, errors.New("bad command")
	}
	args := words[1:]
	if want, ok := arity[words[0]]; !ok || len(args) < want[0] || len(args) > want[1] {
		return words[0], nil, errors.New("bad command")
	}
	return words[0], args, nil
}

func (p *probe) execute(cmd string, args []string) (interface{}, error) {
	if cmd == "quit" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout)
	defer cancel()
	if cmd == "open" {
		table, err := p.client.OpenTable(ctx, args[0])
		if err == nil {
			p.tables[args[0]] = table
		}
		return nil, err
	}
	table, ok := p.tables[args[0]]
	if !ok {
		return nil, errors.New("table not open")
	}
	return operate(ctx, table, cmd, args[1:])
}

func operate(ctx context.Context, table pegasus.TableConnector, cmd string, args []string) (interface{}, error) {
	hashKey, sortKey := []byte(args[0]), []byte(args[1])
	switch cmd {
	case "set":
		var ttl int
		if len(args) == 4 {
			var err error
			if ttl, err = strconv.Atoi(args[3]); err != nil {
				return nil, err
			}
		}
		return nil, table.SetTTL(ctx, hashKey, sortKey, []byte(args[2]), time.Duration(ttl)*time.Second)
	case "get":
		value, err := table.Get(ctx, hashKey, sortKey)
		if err != nil || value == nil {
			return nil, err
		}
		return string(value), nil
	case "del":
		return nil, table.Del(ctx, hashKey, sortKey)
	default:
		return table.TTL(ctx, hashKey, sortKey)
	}
}
