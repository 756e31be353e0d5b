package arm

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// sample has a field of every rule and shape.
type sample struct {
	ID         string            `json:"id" arm:"read"`
	Tags       map[string]string `json:"tags,omitempty"`
	Properties sampleProperties  `json:"properties"`
}

type sampleProperties struct {
	Name    string         `json:"name,omitempty"`
	Mode    string         `json:"mode,omitempty" arm:"enum=System|User"`
	Count   *int32         `json:"count,omitempty"`
	Size    int32          `json:"size,omitempty"`
	Yes     *bool          `json:"yes,omitempty" arm:"only=true"`
	Price   *int32         `json:"price,omitempty" arm:"only=-1"`
	Family  []string       `json:"family,omitempty" arm:"only=IPv4"`
	State   map[string]any `json:"state,omitempty" arm:"read"`
	Entries []sampleEntry  `json:"entries,omitempty"`
	Version *string        `json:"version,omitempty" arm:"empty"`
	sampleEmbedded
}

type sampleEmbedded struct {
	Zones []string `json:"zones,omitempty"`
}

type sampleEntry struct {
	Key string `json:"key"`
}

func TestDecodeBody(t *testing.T) {
	three := int32(3)
	cases := []struct {
		why, body string
		want      sample
		target    string
	}{
		{"nothing asked for", `{}`, sample{}, ""},
		{"read-only fields come back in read-modify-write", `{"id":"x","properties":{"state":{"a":[1]}}}`, sample{}, ""},
		{"what says nothing is dropped, known or not", `{"tags":null,"extra":{"a":[{"b":false,"c":0,"d":""}]},"properties":{"name":"","size":0,"other":null,"yes":null,"price":0}}`, sample{}, ""},
		{"honoured fields arrive", `{"tags":{"a":"b","c":""},"properties":{"name":"n","count":3.0,"size":7,"zones":["1"],"entries":[{"key":"k"}]}}`,
			sample{Tags: map[string]string{"a": "b", "c": ""}, Properties: sampleProperties{Name: "n", Count: &three, Size: 7, Entries: []sampleEntry{{"k"}}, sampleEmbedded: sampleEmbedded{Zones: []string{"1"}}}}, ""},
		{"nothing and the empty text are two things where that is said", `{"properties":{"version":"","name":""}}`, sample{Properties: sampleProperties{Version: new(string)}}, ""},
		{"casing of a choice is mended", `{"properties":{"mode":"system"}}`, sample{Properties: sampleProperties{Mode: "System"}}, ""},
		{"an unknown choice is for policy to refuse", `{"properties":{"mode":"Other"}}`, sample{Properties: sampleProperties{Mode: "Other"}}, ""},
		{"what Berth does anyway may be asked for", `{"properties":{"yes":true,"price":-1.0,"family":["ipv4"]}}`, sample{}, ""},
		{"its opposite may not", `{"properties":{"yes":false}}`, sample{}, "yes"},
		{"nor another value", `{"properties":{"price":2}}`, sample{}, "price"},
		{"nor another element", `{"properties":{"family":["IPv4","IPv6"]}}`, sample{}, "family[1]"},
		{"an unknown field is named", `{"properties":{"entries":[{"key":"k"},{"kee":1}]}}`, sample{}, "entries[1].kee"},
		{"deep inside an unknown one too", `{"other":{"a":{"b":[0,{"c":"x"}]}}}`, sample{}, "other.a.b[1].c"},
		{"names have one spelling", `{"Tags":{"a":"b"}}`, sample{}, "Tags.a"},
		{"a string is a string", `{"properties":{"name":7}}`, sample{}, "name"},
		{"a number is whole", `{"properties":{"size":1.5}}`, sample{}, "size"},
		{"and in range", `{"properties":{"size":3000000000}}`, sample{}, "size"},
		{"and not beyond all numbers", `{"properties":{"size":1e999}}`, sample{}, "size"},
		{"a list has no holes", `{"properties":{"zones":["1",null]}}`, sample{}, "zones[1]"},
		{"an object is an object", `{"properties":[]}`, sample{}, "properties"},
		{"a tag is a string", `{"tags":{"a":1}}`, sample{}, "tags.a"},
		{"a second spelling of a key hides nothing", `{"properties":{"evil":1},"properties":{"name":"n"}}`, sample{Properties: sampleProperties{Name: "n"}}, ""},
	}
	for _, c := range cases {
		var got sample
		err := DecodeBody([]byte(c.body), &got)
		var refusal *Error
		switch {
		case c.target == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.target == "" && !reflect.DeepEqual(normal(got), normal(c.want)):
			t.Errorf("%s: got %+v, want %+v", c.why, got, c.want)
		case c.target != "" && (!errors.As(err, &refusal) || refusal.Target != c.target || refusal.Status != 400):
			t.Errorf("%s: got %v, want a refusal of %s", c.why, err, c.target)
		}
	}
}

// normal takes an empty list for none.
func normal(s sample) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}

func TestBodyThatIsNoObjectIsRefused(t *testing.T) {
	for _, body := range []string{"", "null", "[]", "7", "{", `{"a":1}{}`, "\xff", strings.Repeat("[", 20000)} {
		var got sample
		var refusal *Error
		if err := DecodeBody([]byte(body), &got); !errors.As(err, &refusal) || refusal.Code != "InvalidRequestContent" {
			t.Errorf("body %.20q: %v", body, err)
		}
	}
}

// FuzzDecodeBody: whatever is sent, decoding ends without a panic, its error is
// one for the client, what is taken is taken again unchanged, and nothing unknown
// ever gets in beside it.
func FuzzDecodeBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"properties":{"count":1,"mode":"user","entries":[{"key":"k"}],"family":["IPv4"]}}`, `{"tags":{"a":null}}`,
		`{"properties":{"price":-1.0,"size":1e3,"yes":true}}`, `{"x":[{"y":{}}],"properties":null}`, `[`, `{"id":{"a":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var first sample
		if err := DecodeBody(body, &first); err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Status != 400 || len(refusal.Message) > 2000 {
				t.Fatalf("error %v", err)
			}
			return
		}
		raw, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		var second sample
		if err := DecodeBody(raw, &second); err != nil || normal(first) != normal(second) {
			t.Fatalf("%s was taken and then not: %v, %+v", raw, err, second)
		}
		var document map[string]any
		if json.Unmarshal(body, &document) != nil {
			return
		}
		document["unknown"] = "field"
		raw, _ = json.Marshal(document)
		if err := DecodeBody(raw, &second); err == nil {
			t.Fatalf("%s was taken with an unknown field", raw)
		}
	})
}
