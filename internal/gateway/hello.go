package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	recordHandshake   = 22
	messageHello      = 1
	extensionName     = 0
	nameTypeHost      = 0
	recordHeaderBytes = 5
	maxRecordBytes    = 1 << 14

	// maxHelloBytes bounds the ClientHello. Post-quantum key shares make it about 2 KiB; nothing sane comes near this.
	maxHelloBytes = 16 << 10
	// maxHelloRaw bounds the same with record headers, so that one-byte records cannot grow it without end.
	maxHelloRaw = 32 << 10
)

var (
	errNotTLS   = errors.New("not a TLS ClientHello")
	errTooLarge = errors.New("ClientHello too large")
	errNoName   = errors.New("ClientHello without a server name")
	errBadHello = errors.New("malformed ClientHello")
)

// readHello reads one whole ClientHello, which may be spread over several records. It returns the bytes as they came,
// to be replayed to the backend, also when it fails, and the server name in lower case.
func readHello(r io.Reader) (raw []byte, name string, err error) {
	var message []byte
	for {
		fragment, err := readRecord(r, &raw)
		if err != nil {
			return raw, "", err
		}
		message = append(message, fragment...)
		if len(message) < 4 {
			continue
		}
		if message[0] != messageHello {
			return raw, "", errNotTLS
		}
		size := int(message[1])<<16 | int(message[2])<<8 | int(message[3])
		if size > maxHelloBytes {
			return raw, "", errTooLarge
		}
		if len(message) >= 4+size {
			name, err := serverName(message[4 : 4+size])
			return raw, name, err
		}
	}
}

// readRecord appends one handshake record to raw and returns its content.
func readRecord(r io.Reader, raw *[]byte) ([]byte, error) {
	start := len(*raw)
	*raw = append(*raw, make([]byte, recordHeaderBytes)...)
	header := (*raw)[start:]
	if n, err := io.ReadFull(r, header); err != nil {
		*raw = (*raw)[:start+n]
		return nil, fmt.Errorf("read ClientHello: %w", err)
	}
	if header[0] != recordHandshake || header[1] != 3 {
		return nil, errNotTLS
	}
	size := int(binary.BigEndian.Uint16(header[3:]))
	if size == 0 || size > maxRecordBytes {
		return nil, errNotTLS
	}
	if start+recordHeaderBytes+size > maxHelloRaw {
		return nil, errTooLarge
	}
	body := start + recordHeaderBytes
	*raw = append(*raw, make([]byte, size)...)
	if n, err := io.ReadFull(r, (*raw)[body:]); err != nil {
		*raw = (*raw)[:body+n]
		return nil, fmt.Errorf("read ClientHello: %w", err)
	}
	return (*raw)[body:], nil
}

// serverName finds the host name in the body of a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3).
func serverName(hello []byte) (string, error) {
	c := cursor{rest: hello, ok: true}
	c.take(2 + 32)     // legacy_version, random
	c.take(c.uint8())  // legacy_session_id
	c.take(c.uint16()) // cipher_suites
	c.take(c.uint8())  // legacy_compression_methods
	if !c.ok || len(c.rest) == 0 {
		return "", nameOrMalformed(c.ok)
	}
	extensions := cursor{rest: c.vector16(), ok: c.ok}
	if !c.ok || len(c.rest) != 0 {
		return "", errBadHello
	}
	name, seen := "", false
	for extensions.ok && len(extensions.rest) > 0 {
		kind := extensions.uint16()
		body := extensions.vector16()
		if !extensions.ok {
			return "", errBadHello
		}
		if kind != extensionName {
			continue
		}
		if seen {
			return "", errBadHello
		}
		seen = true
		host, err := hostName(body)
		if err != nil {
			return "", err
		}
		name = host
	}
	if name == "" {
		return "", errNoName
	}
	return name, nil
}

func nameOrMalformed(wellFormed bool) error {
	if wellFormed {
		return errNoName
	}
	return errBadHello
}

// hostName reads the server_name extension, which carries at most one host name.
func hostName(extension []byte) (string, error) {
	c := cursor{rest: extension, ok: true}
	list := cursor{rest: c.vector16(), ok: c.ok}
	if !c.ok || len(c.rest) != 0 {
		return "", errBadHello
	}
	name := ""
	for list.ok && len(list.rest) > 0 {
		kind := list.uint8()
		value := list.vector16()
		if !list.ok || kind == nameTypeHost && name != "" {
			return "", errBadHello
		}
		if kind == nameTypeHost {
			name = string(value)
		}
	}
	return cleanName(name)
}

// cleanName brings a name to the form of the routing table and refuses what no DNS name contains, so that nothing odd
// reaches the log or a metric's label.
func cleanName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" {
		return "", errNoName
	}
	if len(name) > 253 {
		return "", errBadHello
	}
	for i := range len(name) {
		ch := name[i]
		if (ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-' && ch != '.' && ch != '_' {
			return "", errBadHello
		}
	}
	return name, nil
}

// cursor reads TLS's length-prefixed vectors. Once ok is false it stays so and every read gives nothing.
type cursor struct {
	rest []byte
	ok   bool
}

func (c *cursor) take(n int) []byte {
	if !c.ok || len(c.rest) < n {
		c.ok, c.rest = false, nil
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) uint8() int {
	if b := c.take(1); c.ok {
		return int(b[0])
	}
	return 0
}

func (c *cursor) uint16() int {
	if b := c.take(2); c.ok {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (c *cursor) vector16() []byte { return c.take(c.uint16()) }
