package gateway

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
)

// captureHello is the ClientHello that Go's TLS sends for a name.
func captureHello(t testing.TB, name string) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		near.Close()
	}()
	defer far.Close()
	raw, _, err := readHello(far)
	if err != nil && !errors.Is(err, errNoName) {
		t.Fatal(err)
	}
	return raw
}

// split puts the handshake bytes of hello into records of at most size bytes.
func split(hello []byte, size int) []byte {
	var out []byte
	for rest := hello[recordHeaderBytes:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(out, recordHandshake, 3, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	return out
}

func TestReadHello(t *testing.T) {
	hello := captureHello(t, "demo-1234.hcp.west.berth.internal")
	huge := append([]byte{22, 3, 1, 0, 4, messageHello, 0xff, 0xff, 0xff}, make([]byte, 100)...)
	for _, c := range []struct {
		why   string
		input []byte
		name  string
		err   error
	}{
		{"as it comes", hello, "demo-1234.hcp.west.berth.internal", nil},
		{"spread over records of 100 bytes", split(hello, 100), "demo-1234.hcp.west.berth.internal", nil},
		{"one byte a record and within bounds", split(hello, 1), "demo-1234.hcp.west.berth.internal", nil},
		{"more data after it", append(bytes.Clone(hello), "tail"...), "demo-1234.hcp.west.berth.internal", nil},
		{"upper case", captureHello(t, "DEMO.example"), "demo.example", nil},
		{"no name", captureHello(t, ""), "", errNoName},
		{"cut short", hello[:len(hello)-1], "", io.ErrUnexpectedEOF},
		{"nothing", nil, "", io.EOF},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), "", errNotTLS},
		{"an announced length past the bound", huge, "", errTooLarge},
		{"an empty record", []byte{22, 3, 1, 0, 0}, "", errNotTLS},
		{"another handshake message", []byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, "", errNotTLS},
		{"an empty ClientHello", []byte{22, 3, 1, 0, 4, messageHello, 0, 0, 0}, "", errBadHello},
	} {
		raw, name, err := readHello(bytes.NewReader(c.input))
		if name != c.name || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", c.why, name, err, c.name, c.err)
		}
		if !bytes.HasPrefix(c.input, raw) {
			t.Errorf("%s: the replay differs from what came", c.why)
		}
	}
}

func TestReadHelloBoundsTinyRecords(t *testing.T) {
	message := append([]byte{messageHello, 0, 0x3f, 0xff}, make([]byte, 0x3fff)...)
	_, _, err := readHello(bytes.NewReader(split(append(make([]byte, recordHeaderBytes), message...), 1)))
	if !errors.Is(err, errTooLarge) {
		t.Errorf("got %v, want errTooLarge", err)
	}
}

func TestHostName(t *testing.T) {
	entry := func(kind byte, name string) []byte {
		out := []byte{kind}
		out = binary.BigEndian.AppendUint16(out, uint16(len(name)))
		return append(out, name...)
	}
	list := func(entries ...[]byte) []byte {
		body := bytes.Join(entries, nil)
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(body))), body...)
	}
	for _, c := range []struct {
		why       string
		extension []byte
		name      string
		err       error
	}{
		{"one name", list(entry(0, "a.example")), "a.example", nil},
		{"a final dot", list(entry(0, "a.example.")), "a.example", nil},
		{"another type first", list(entry(7, "zz"), entry(0, "a.example")), "a.example", nil},
		{"two names could be read two ways", list(entry(0, "a.example"), entry(0, "b.example")), "", errBadHello},
		{"an empty name", list(entry(0, "")), "", errNoName},
		{"a line break would forge a log line", list(entry(0, "a\nb")), "", errBadHello},
		{"longer than DNS allows", list(entry(0, strings.Repeat("a", 254))), "", errBadHello},
		{"bytes after the list", append(list(entry(0, "a")), 1), "", errBadHello},
		{"a list longer than the extension", []byte{0, 9, 0}, "", errBadHello},
	} {
		name, err := hostName(c.extension)
		if name != c.name || !errors.Is(err, c.err) {
			t.Errorf("%s: got %q, %v; want %q, %v", c.why, name, err, c.name, c.err)
		}
	}
}

// FuzzReadHello holds the parser to its promises and to crypto/tls: what we route by is what a server would see.
func FuzzReadHello(f *testing.F) {
	f.Add(captureHello(f, "a.example"))
	f.Add(split(captureHello(f, "b.example"), 64))
	f.Add(captureHello(f, ""))
	f.Fuzz(func(t *testing.T, input []byte) { checkHello(t, input) })
}

// TestReadHelloMutations is the same on ClientHellos with a few bytes changed, without the fuzzer's patience.
func TestReadHelloMutations(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hellos := [][]byte{captureHello(t, "a.example"), split(captureHello(t, "b.example"), 64), captureHello(t, "")}
	named := 0
	for range 20000 {
		input := bytes.Clone(hellos[random.IntN(len(hellos))])
		for range 1 + random.IntN(3) {
			input[random.IntN(len(input))] = byte(random.Uint32())
		}
		if checkHello(t, input[:len(input)-random.IntN(3)*random.IntN(len(input)/2)]) {
			named++
		}
	}
	if named < 1000 {
		t.Errorf("only %d of the mutations still have a name: the test tests nothing", named)
	}
}

func checkHello(t *testing.T, input []byte) (named bool) {
	t.Helper()
	raw, name, err := readHello(bytes.NewReader(input))
	if len(raw) > maxHelloRaw || !bytes.HasPrefix(input, raw) {
		t.Fatalf("kept %d bytes that are not the input's head", len(raw))
	}
	if err != nil {
		return false
	}
	if seen := standardName(raw); seen != "" && strings.ToLower(strings.TrimSuffix(seen, ".")) != name {
		t.Fatalf("we read %q, crypto/tls reads %q", name, seen)
	}
	return true
}

// standardName is the server name that crypto/tls reads, or empty if it refuses the hello.
func standardName(raw []byte) (name string) {
	stop := errors.New("seen")
	server := tls.Server(replay{Reader: bytes.NewReader(raw)}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			name = info.ServerName
			return nil, stop
		},
	})
	_ = server.Handshake()
	return name
}

type replay struct {
	net.Conn
	io.Reader
}

func (r replay) Read(p []byte) (int, error) { return r.Reader.Read(p) }
func (replay) Write(p []byte) (int, error)  { return len(p), nil }
func (replay) Close() error                 { return nil }
