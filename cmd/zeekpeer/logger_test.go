package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

const recordedCluster = "../../interop/testdata/zeek/8.2.2-"

func unzipped(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// publishRecorded publishes what a node sent to the recorded logger under zeek/logs/, on the topics of the recording
// but that of the logger's name.
func publishRecorded(t *testing.T, e *endpoint.Endpoint, format, node string) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(unzipped(t, recordedCluster+format+"/links/"+node+"_to_logger-1-0.jsonl.gz")))
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var row struct{ Dir, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(row.Hex)
		if err != nil || row.Dir != "dialer->listener" {
			continue
		}
		m, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:])
		if err != nil || m.Type != wire.TypeData || !strings.HasPrefix(string(m.Topic), logsTopic) && !strings.HasPrefix(string(m.Topic), "zeek/cluster/node/logger-1/") {
			continue
		}
		if n, err := e.PublishPayload(t.Context(), string(m.Topic), m.Payload); n != 1 || err != nil {
			t.Fatalf("published to %d peers: %v", n, err)
		}
	}
}

// What recorded nodes sent, over a connection to a logger that is told to end right behind it, is in the files, all of
// it.
func TestLoggerLosesNothing(t *testing.T) {
	for _, format := range []string{"tsv", "json"} {
		t.Run(format, func(t *testing.T) {
			dir := t.TempDir()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var stderr transcript
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, []string{"logger", "--listen", "127.0.0.1:0", "--dir", dir, "--format", format, "--rotate", "0"}, strings.NewReader(""), io.Discard, &stderr)
			}()
			addr := ""
			for addr == "" {
				text, changed := stderr.now()
				if found := regexp.MustCompile(`(?m)^listening on (.*)$`).FindStringSubmatch(text); found != nil {
					addr = found[1]
					break
				}
				select {
				case <-changed:
				case <-ended:
					t.Fatal(stderr.String())
				}
			}
			for _, node := range []string{"worker-1", "manager", "proxy-1"} {
				e, err := endpoint.New()
				if err != nil {
					t.Fatal(err)
				}
				p, err := e.Peer(addr)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				publishRecorded(t, e, format, node)
				if err := e.Close(t.Context()); err != nil { // when the logger has read all
					t.Fatal(err)
				}
			}
			stop()
			if code := <-ended; code != 0 || !strings.Contains(stderr.String(), "none refused or lost") {
				t.Errorf("exit code %d:\n%s", code, stderr.String())
			}
			names, _ := filepath.Glob(recordedCluster + format + "/logs/*.log.gz")
			own := map[string]bool{"broker.log": true, "cluster.log": true, "reporter.log": true, "stats.log": true} // rows of the recorded logger itself
			for _, name := range names {
				file := strings.TrimSuffix(filepath.Base(name), ".gz")
				got, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Error(err)
					continue
				}
				if want := unzipped(t, name); !own[file] && !slices.Equal(rowsOf(got), rowsOf(want)) {
					t.Errorf("%s: other rows than in the recording", file)
				} else if own[file] && len(rowsOf(got)) == 0 {
					t.Errorf("%s: no rows", file)
				}
			}
			if len(names) == 0 {
				t.Error("no recorded logs")
			}
		})
	}
}

// rowsOf returns the rows of a log, sorted.
func rowsOf(file []byte) (rows []string) {
	for line := range strings.Lines(string(file)) {
		if !strings.HasPrefix(line, "#") {
			rows = append(rows, line)
		}
	}
	slices.Sort(rows)
	return rows
}

func TestLiveText(t *testing.T) {
	for _, test := range []struct {
		status loggerStatus
		want   string
	}{
		{loggerStatus{}, "0 rows, 1234/s, 0 logs of 0 peers"},
		{
			loggerStatus{Status: logs.Status{Rows: 5, Peers: 2, LastRow: 1, Lag: 0.51, Waiting: 3 << 20, Lost: 7, Refused: map[string]uint64{"row": 2}}, Files: logs.FilesStatus{Open: 3, Stalled: 12}, Dropped: 4},
			"5 rows, 1234/s, 3 logs of 2 peers, lag 0.5s, waiting 3 MiB, the disk has taken nothing for 12s, refused: row 2, 7 rows lost, 4 messages dropped",
		},
	} {
		if got := liveText(&test.status, 1234); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
