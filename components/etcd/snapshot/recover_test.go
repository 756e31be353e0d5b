package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/datadir"
)

// scene is a data directory, backups, and what becomes of them.
type scene struct {
	t      *testing.T
	past   *past
	dir    string
	server *server
	id     string
	// more are flags besides.
	more []string
}

// stage is a data directory as it was, with both fulls and all deltas since the first.
func (p *past) stage(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, past: p, dir: p.clone(t), server: serve(t), id: "r1"}
	s.server.add(full(p.earlyAt), p.early)
	s.server.addDeltas(p, p.deltas(p.earlyAt+1, 4)...)
	s.server.add(full(p.lateAt-3), p.late)
	return s
}

func (s *scene) empty() *scene {
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *scene) args() []string {
	return append([]string{"recover", "--source", s.server.asking.source, "--cacert", s.server.asking.cacert,
		"--cert", s.server.asking.cert, "--key", s.server.asking.key, "--data-dir", s.dir, "--name", "etcd-0",
		"--peer", "http://127.0.0.1:2380", "--token", "c1", "--id", s.id, "--report", s.dir + ".report"}, s.more...)
}

// try runs the program as a pod does.
func (s *scene) try(before ...string) (recoveryReport, error) {
	s.t.Helper()
	var out, complaints bytes.Buffer
	command := exec.CommandContext(s.t.Context(), os.Args[0], append(before, s.args()...)...)
	command.Stdout, command.Stderr = &out, &complaints
	err := command.Run()
	for _, text := range []string{out.String(), complaints.String()} {
		if strings.Contains(text, s.past.secret) {
			s.t.Errorf("content is shown: %s", text)
		}
	}
	if err != nil {
		return recoveryReport{}, fmt.Errorf("%w: %s", err, complaints.String())
	}
	var said recoveryReport
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		s.t.Fatalf("the report %q: %v", out.String(), err)
	}
	if written, err := os.ReadFile(s.dir + ".report"); err != nil || string(written)+"\n" != out.String() {
		s.t.Errorf("the report in the file is %q (%v), that on the output %q", written, err, out.String())
	}
	return said, nil
}

func (s *scene) run() recoveryReport {
	s.t.Helper()
	said, err := s.try()
	if err != nil {
		s.t.Fatal(err)
	}
	return said
}

// holds compares what is in the data directory now with what was at a revision, and
// looks for what was left over.
func (s *scene) holds(said recoveryReport, want content) {
	s.t.Helper()
	found, err := runChild(s.t.Context(), "examine", examination{DataDir: s.dir, Name: "etcd-0"})
	if err != nil || found.damage != "" {
		s.t.Fatal(found.damage, err)
	}
	if found.Hash != want.Hash || found.Keys != want.Keys || said.Keys != want.Keys || said.Revision != want.Revision {
		s.t.Errorf("etcd holds %+v, the report says %+v, want %+v", found.content, said, want)
	}
	if used := highest(s.server.listed); said.Restored && found.Revision < used+revisionBump {
		s.t.Errorf("etcd is at %d after %d: watches would not notice", found.Revision, used)
	}
	base := filepath.Base(s.dir)
	for _, name := range listed(s.t, filepath.Dir(s.dir)) {
		if !slices.Contains([]string{base, base + ".lock", base + ".lost", base + ".recovered", base + ".report"}, name) {
			s.t.Errorf("%s is left", name)
		}
	}
	if left := listed(s.t, s.dir); !slices.Equal(left, []string{"member"}) {
		s.t.Errorf("the data directory has %v", left)
	}
}

func TestRecover(t *testing.T) {
	p := record(t)
	for name, test := range map[string]func(*testing.T, *past){
		"damage is noticed and undone":            testDamage,
		"data that are whole stay as they are":    testWhole,
		"an etcd that went back is lost":          testWentBack,
		"backups are passed over and made good":   testBadBackups,
		"a death at each step":                    testDeaths,
		"a death within a step":                   testDeathWithinSwap,
		"no backup of use changes nothing":        testNoBackup,
		"a source that is away for a while":       testAway,
		"leases":                                  testLeases,
		"a volume without room for both":          testNoRoom,
		"a death without room for both":           testDeathsWithoutRoom,
		"data that somebody has stay as they are": testInUse,
		"what was fetched for data that went":     testFetched,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, p) })
	}
}

// write changes a part of a file.
func write(t *testing.T, path string, at int64, text []byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(text, at); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// used is how much of a database holds something: a file grows ahead of that.
func used(t *testing.T, path string) (bytes int64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error { bytes = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return bytes
}

// log returns the first file of the log.
func (s *scene) log() string {
	return filepath.Join(datadir.ToWALDir(s.dir), listed(s.t, datadir.ToWALDir(s.dir))[0])
}

func (s *scene) database() string { return datadir.ToBackendFileName(s.dir) }

// recordSize reads the head of a record of the log: its length, and in the highest
// byte how much it is padded.
func recordSize(head uint64) int64 {
	size := int64(head & (1<<56 - 1))
	if int64(head) < 0 {
		size += int64(head >> 56 & 7)
	}
	return size
}

func testDamage(t *testing.T, p *past) {
	junk := bytes.Repeat([]byte{0xa5}, 64<<10)
	for why, damage := range map[string]func(s *scene){
		"the volume is new":                 func(s *scene) { s.empty() },
		"the directory is there, but empty": func(s *scene) { s.empty(); _ = os.Mkdir(s.dir, 0o700) },
		"the log is gone":                   func(s *scene) { _ = os.RemoveAll(datadir.ToWALDir(s.dir)) },
		"the database is cut off":           func(s *scene) { _ = os.Truncate(s.database(), used(s.t, s.database())/2) },
		"the database is empty":             func(s *scene) { _ = os.Truncate(s.database(), 0) },
		"pages of the database are junk": func(s *scene) {
			for at := int64(64 << 10); at+int64(len(junk)) < size(t, s.database()); at += 512 << 10 {
				write(t, s.database(), at, junk)
			}
		},
		"both beginnings of the database are junk": func(s *scene) { write(t, s.database(), 0, junk) },
		"a byte of the log has flipped": func(s *scene) {
			text, err := os.ReadFile(s.log())
			if err != nil {
				t.Fatal(err)
			}
			at := int64(bytes.Index(text, []byte(p.secret)))
			write(t, s.log(), at, []byte{text[at] ^ 1})
		},
		"a record of the log became the end of it": func(s *scene) {
			text, err := os.ReadFile(s.log())
			if err != nil {
				t.Fatal(err)
			}
			at := int64(0)
			for range 20 {
				at += 8 + recordSize(binary.LittleEndian.Uint64(text[at:]))
			}
			write(t, s.log(), at, make([]byte, 8))
		},
	} {
		t.Run(why, func(t *testing.T) {
			s := p.stage(t)
			s.t = t
			damage(s)
			said := s.run()
			t.Log(said.Reason)
			if !said.Restored || said.Reason == "" || said.Snapshot != full(p.lateAt-3).Name || !said.Time.Equal(delta(p.end.Revision, p.end.Revision).Time) {
				t.Errorf("report %+v", said)
			}
			s.holds(said, p.end)
		})
	}
}
