package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/datadir"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// firstOfTwo is the data directory of one of two members, both of which had all that was written:
// one key, at revision 2.
func firstOfTwo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var peers [2]url.URL
	cluster := ""
	for i := range peers {
		peers[i] = freeURL(t)
		cluster += fmt.Sprintf("etcd-%d=%s,", i, peers[i].String())
	}
	var members [2]*embed.Etcd
	for i, peer := range peers {
		config := embed.NewConfig()
		config.Name, config.Dir, config.LogLevel = fmt.Sprintf("etcd-%d", i), filepath.Join(dir, fmt.Sprint(i)), "fatal"
		config.ListenClientUrls, config.AdvertiseClientUrls = nil, nil
		config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		config.InitialCluster = cluster[:len(cluster)-1]
		etcd, err := embed.StartEtcd(config)
		if err != nil {
			t.Fatal(err)
		}
		members[i] = etcd
	}
	for _, etcd := range members {
		<-etcd.Server.ReadyNotify()
	}
	// A write through the second is on both.
	client := v3client.New(members[1].Server)
	if _, err := client.Put(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := v3client.New(members[0].Server).Get(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, etcd := range members {
		etcd.Close()
	}
	return filepath.Join(dir, "0")
}

// One of two members, without the other, cannot go on; made the only one it has all that
// both had stored, and stays the only one.
func TestMemberIsMadeTheOnlyOne(t *testing.T) {
	dir := firstOfTwo(t)
	for _, alone := range []bool{true, false} {
		found, err := runChild(t.Context(), "examine", examination{DataDir: dir, Name: "etcd-0", Alone: alone})
		if err != nil || found.damage != "" || found.Keys != 1 || found.Revision != 2 {
			t.Errorf("alone %v: %+v %s %v", alone, found.content, found.damage, err)
		}
	}
}

// appendWrite has a member hold a write of which it has heard that it was acknowledged, or has not.
func appendWrite(t *testing.T, dir, key string, heard bool) {
	t.Helper()
	text, err := proto.Marshal(&pb.InternalRaftRequest{Header: &pb.RequestHeader{ID: 12345}, Put: &pb.PutRequest{Key: []byte(key), Value: []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	appendEntry(t, dir, heard, func([]byte) *raftpb.Entry { return &raftpb.Entry{Data: text} })
}

// appendEntry does so for what is made of the log's metadata.
func appendEntry(t *testing.T, dir string, heard bool, of func([]byte) *raftpb.Entry) {
	t.Helper()
	path := datadir.ToWALDir(dir)
	snapshots, err := wal.ValidSnapshotEntries(zap.NewNop(), path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := wal.Open(zap.NewNop(), path, snapshots[len(snapshots)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	self, state, entries, err := log.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	last, next := entries[len(entries)-1], of(self)
	next.Index, next.Term = new(last.GetIndex()+1), new(last.GetTerm())
	if heard {
		state.Commit = next.Index
	}
	if err := log.Save(state, append(entries[:0:0], next)); err != nil {
		t.Fatal(err)
	}
}

// A write that a majority has, which the member that is left has not heard of, was told to
// clients: it stays, unless that is not asked for.
func TestLastWriteStaysWithTheOnlyMember(t *testing.T) {
	dir := firstOfTwo(t)
	appendWrite(t, dir, "c", true)
	appendWrite(t, dir, "d", false)
	seen, err := runChild(t.Context(), "tail", tail{DataDir: dir})
	if err != nil || seen.Revision != 2 || seen.Heard < 1 || seen.Ahead != seen.Heard+1 {
		t.Errorf("%+v %s (%v)", seen.content, seen.damage, err)
	}
	for all, keys := range map[bool]int64{true: 3, false: 2} {
		of := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(of, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			found, err := runChild(t.Context(), "examine", examination{DataDir: of, Name: "etcd-0", Alone: true, All: all})
			if err != nil || found.damage != "" || found.Keys != keys || found.Revision != keys+1 {
				t.Errorf("all %v: %+v %s %v", all, found.content, found.damage, err)
			}
		}
	}
}

// A member that was being removed, and has not heard that this was acknowledged, goes on with all
// that it was told before.
func TestOwnRemovalIsNotCounted(t *testing.T) {
	dir := firstOfTwo(t)
	appendWrite(t, dir, "c", false)
	appendEntry(t, dir, false, func(self []byte) *raftpb.Entry {
		var own pb.Metadata
		if err := proto.Unmarshal(self, &own); err != nil {
			t.Fatal(err)
		}
		text, err := proto.Marshal(&raftpb.ConfChange{Id: new(uint64(12346)), Type: raftpb.ConfChangeRemoveNode.Enum(), NodeId: new(own.GetNodeID())})
		if err != nil {
			t.Fatal(err)
		}
		return &raftpb.Entry{Type: raftpb.EntryConfChange.Enum(), Data: text}
	})
	appendWrite(t, dir, "d", false)
	for range 2 {
		found, err := runChild(t.Context(), "examine", examination{DataDir: dir, Name: "etcd-0", Alone: true, All: true})
		if err != nil || found.damage != "" || found.Keys != 2 || found.Revision != 3 {
			t.Errorf("%+v %s %v", found.content, found.damage, err)
		}
	}
}

// voters counts the members that a member knows.
func voters(t *testing.T, dir string) (n int) {
	t.Helper()
	db, err := bbolt.Open(datadir.ToBackendFileName(dir), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(schema.Members.Name()).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// aloneScene is a member of two that is to go on alone, and a source with these backups.
func aloneScene(t *testing.T, origin string, listed ...backup) *scene {
	t.Helper()
	s := &scene{t: t, past: &past{secret: "known-to-nobody"}, dir: filepath.Join(t.TempDir(), "data"), server: serve(t), id: "r1", more: []string{"--alone"}}
	if err := os.CopyFS(s.dir, os.DirFS(origin)); err != nil {
		t.Fatal(err)
	}
	s.server.listed = listed
	return s
}

// A member is made the only one when it is known what it goes on with, and not before; what
// was chosen is said, and why.
func TestAloneIsDecidedBeforeItIsDone(t *testing.T) {
	origin := firstOfTwo(t)
	forbidden := func(name string) func(*server) {
		return func(s *server) { s.faults[name] = slices.Repeat([]int{http.StatusForbidden}, 9) }
	}
	for _, c := range []struct {
		why      string
		listed   []backup
		change   func(*server)
		complete bool
		// fails is what an error says, kept what is said of data that stay. There is one member
		// afterwards where there is no error.
		fails, kept string
	}{
		{"the backups reach as far", []backup{full(1), delta(2, 2)}, nil, false, "", ""},
		{"there are none", nil, nil, false, "", ""},
		{"they cannot be asked for, and others may have had more", []backup{full(1)}, forbidden(""), false, "nothing was changed", ""},
		{"they cannot be asked for, and the member has all", []backup{full(1)}, forbidden(""), true, "", "the data of most members are sound"},
		{"they reach further, and cannot be fetched", []backup{full(5)}, forbidden(full(5).Name), true, "nothing was changed", ""},
		{"they reach further, and are damaged", []backup{full(5)}, nil, false, "", "no full backup that is of use"},
	} {
		t.Run(c.why, func(t *testing.T) {
			s := aloneScene(t, origin, c.listed...)
			if c.change != nil {
				c.change(s.server)
			}
			if c.complete {
				s.more = append(s.more, "--complete")
			}
			said, err := s.try()
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%+v, error %v", said, err)
				}
				// How far it was recorded is noted.
				left := slices.DeleteFunc(listed(t, filepath.Dir(s.dir)), func(name string) bool { return name == "data.alone" })
				if n := voters(t, s.dir); n != 2 || !slices.Equal(left, []string{"data", "data.lock"}) {
					t.Errorf("it is one of %d, and there is %v", n, left)
				}
				return
			}
			if err != nil || said.Restored || said.Revision != 2 || said.Keys != 1 || !strings.Contains(said.Kept, c.kept) || (said.Kept == "") != (c.kept == "") {
				t.Fatalf("%+v, error %v", said, err)
			}
			if n := voters(t, s.dir); n != 1 {
				t.Errorf("it is one of %d", n)
			}
			s.holds(said, content{Revision: 2, Keys: 1, Hash: s.hash()})
			s.server.away()
			if again := s.run(); fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", said) {
				t.Errorf("a repetition says %+v, it was %+v", again, said)
			}
		})
	}
}

// hash is that of what the data directory holds.
func (s *scene) hash() string {
	s.t.Helper()
	found, err := runChild(s.t.Context(), "examine", examination{DataDir: s.dir, Name: "etcd-0"})
	if err != nil || found.damage != "" {
		s.t.Fatal(found.damage, err)
	}
	return found.Hash
}

// Backups that have more take the place of what the member holds, and where only the member
// itself knows whether they do, it is asked with them at hand.
func TestAloneWithBackupsAtHand(t *testing.T) {
	origin := firstOfTwo(t)
	snapshots := another(t)
	for why, c := range map[string]struct {
		heard, complete bool
		reach           int64
		restored        bool
		keys            int64
	}{
		"they have what its log has":                                                  {true, false, 3, false, 2},
		"they have what its log has, and it has all that was acknowledged":            {false, true, 3, false, 2},
		"they have other than its log has, which others may have acknowledged":        {false, false, 3, true, 2},
		"they have more than its log":                                                 {true, false, 9, true, 8},
		"they have more than its log, and it has all that was acknowledged otherwise": {false, true, 9, true, 8},
	} {
		s := aloneScene(t, origin)
		if c.complete {
			s.more = append(s.more, "--complete")
		}
		appendWrite(t, s.dir, "c", c.heard) // revision 3
		s.server.add(full(c.reach), snapshots[c.reach])
		said, err := s.try()
		if err != nil || said.Restored != c.restored || said.Kept != "" || said.Keys != c.keys || said.Revision != c.reach {
			t.Fatalf("%s: %+v (%v)", why, said, err)
		}
		if n := voters(t, s.dir); n != 1 {
			t.Errorf("%s: it is one of %d", why, n)
		}
		s.holds(said, content{Revision: c.reach, Keys: c.keys, Hash: s.hash()})
	}
}

// A recovery of a member that is made the only one, killed before any of its steps, ends as if
// it had not been; once it is decided that it goes on with its own data, also without the source.
func TestAloneThatIsKilled(t *testing.T) {
	origin := firstOfTwo(t)
	for step := 1; ; step++ {
		s := aloneScene(t, origin, full(1), delta(2, 2))
		_, err := s.try("die", fmt.Sprint(step))
		exit := (*exec.ExitError)(nil)
		if err == nil {
			if step < 7 {
				t.Errorf("there are %d steps", step-1)
			}
			break
		}
		if !errors.As(err, &exit) || exit.ExitCode() != died {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.dir + ".alone"); err == nil {
			s.server.away()
		} else if _, err := os.Stat(s.dir + ".recovered"); err == nil {
			s.server.away()
		} else if n := voters(t, s.dir); n != 2 {
			t.Errorf("killed at step %d: it is one of %d, and nothing says why", step, n)
		}
		said, err := s.try()
		if err != nil || said.Restored || said.Revision != 2 || voters(t, s.dir) != 1 {
			t.Fatalf("killed at step %d: %+v (%v)", step, said, err)
		}
		s.holds(said, content{Revision: 2, Keys: 1, Hash: s.hash()})
	}
}
