package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// keyPrefix is that of Standard Webhooks.
const keyPrefix = "whsec_"

// keyBytes is the length of a key.
const keyBytes = 32

// NewKey draws a key to sign with.
func NewKey() string {
	var raw [keyBytes]byte
	rand.Read(raw[:])
	return keyPrefix + base64.StdEncoding.EncodeToString(raw[:])
}

// Sign is the header webhook-signature: one signature for each key (Standard Webhooks).
func Sign(keys []string, id string, at time.Time, body []byte) (string, error) {
	var all []string
	for _, key := range keys {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key, keyPrefix))
		if err != nil || len(raw) == 0 {
			return "", errors.New("sign event: a key cannot be read")
		}
		mac := hmac.New(sha256.New, raw)
		fmt.Fprintf(mac, "%s.%s.", id, strconv.FormatInt(at.Unix(), 10))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(all) == 0 {
		return "", errors.New("sign event: there is no key")
	}
	return strings.Join(all, " "), nil
}
