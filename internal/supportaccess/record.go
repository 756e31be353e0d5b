package supportaccess

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"berth.dev/berth/api/v1beta1"
)

const (
	// pageSize is how many requests a page has: about 60 kB, and with what a client may
	// make of each less than half of what an object may have.
	pageSize = 100
	// lateRequests is how many requests are recorded of an access that has ended: enough to
	// see that somebody goes on asking.
	lateRequests = 100
	// writeTimeout bounds one write of a page.
	writeTimeout = 10 * time.Second
)

// fullError says that a record has no room for another request.
type fullError struct{ most int }

func (e *fullError) Error() string {
	return fmt.Sprintf("the record of this access has its %d requests, and none is sent that is not recorded: ask for another access", e.most)
}

// records writes down what support does (X5). A request is stored before it goes on;
// those that come while a page is written share the next write.
type records struct {
	Config

	mu    sync.Mutex
	books map[client.ObjectKey]*book
}

func newRecords(config Config) *records {
	return &records{Config: config, books: map[client.ObjectKey]*book{}}
}

// book is the record of one access, as far as this process writes it.
type book struct {
	records *records
	access  *v1beta1.SupportAccess
	// part keeps its pages apart from those of other processes, and of a book of the
	// same access that was dropped.
	part string

	mu      sync.Mutex
	counted bool
	count   int
	most    int
	late    int
	pages   int
	// open are the pages with requests that have not ended; the last one may have room.
	open    []*page
	writing bool
	waiting []waiter
}

// waiter is who waits for a request to be stored, and the page that it is on.
type waiter struct {
	page *page
	done chan error
}

// page is one page of a book, as it is to be written.
type page struct {
	object *v1beta1.SupportAccessRecord
	stored bool
	dirty  bool
	// failed is why the page was given up: with it is whatever came onto it meanwhile.
	failed error
}

func (r *records) book(of *v1beta1.SupportAccess) *book {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(of)
	if r.books[key] == nil {
		part := make([]byte, 4)
		rand.Read(part)
		r.books[key] = &book{records: r, access: of, part: hex.EncodeToString(part)}
	}
	return r.books[key]
}

// drop forgets an access that has ended; what is being written is written.
func (r *records) drop(key client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.books, key)
}

// begin stores a request, and returns when that is done: what became of it is told to the
// book.
func (r *records) begin(ctx context.Context, of *v1beta1.SupportAccess, entry v1beta1.SupportRequest) (*book, error) {
	b := r.book(of)
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	done, err := b.add(entry)
	if err != nil {
		return nil, err
	}
	select {
	case err := <-done:
		return b, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare counts what other processes recorded, once.
func (b *book) prepare(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counted {
		return nil
	}
	plan, err := Plan(ctx, b.records.Reader)
	if err != nil {
		return err
	}
	pages, err := Record(ctx, b.records.Reader, b.access)
	if err != nil {
		return err
	}
	b.counted, b.count, b.most = true, len(pages), plan.MaxRequests
	for i := range pages {
		if strings.HasPrefix(pages[i].Refused, hasEnded) {
			b.late++
		}
	}
	return nil
}

// late stores a request that came after the end of an access, which is refused whether it
// can be stored or not. There is room for a few of them beside those of the access.
func (r *records) late(ctx context.Context, of *v1beta1.SupportAccess, entry v1beta1.SupportRequest) {
	b := r.book(of)
	err := b.prepare(ctx)
	if err == nil {
		var done <-chan error
		if done = b.addLate(entry); done == nil {
			return
		}
		select {
		case err = <-done:
		case <-ctx.Done():
			return
		}
	}
	if err != nil && ctx.Err() == nil {
		r.Log.Error("a request after the end of an access not recorded", "access", of.Name, "error", err)
	}
}

// addLate is nil where there is no room.
func (b *book) addLate(entry v1beta1.SupportRequest) <-chan error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.late >= lateRequests {
		return nil
	}
	b.late++
	return b.put(entry)
}

// Record reads all that is recorded of an access, in no order.
func Record(ctx context.Context, reader client.Reader, of *v1beta1.SupportAccess) ([]v1beta1.SupportRequest, error) {
	var pages v1beta1.SupportAccessRecordList
	err := reader.List(ctx, &pages, client.InNamespace(of.Namespace), client.MatchingLabels{v1beta1.LabelSupportAccess: of.Name})
	if err != nil {
		return nil, fmt.Errorf("read record of access %s: %w", of.Name, err)
	}
	var all []v1beta1.SupportRequest
	for i := range pages.Items {
		all = append(all, pages.Items[i].Requests...)
	}
	return all, nil
}

func (b *book) add(entry v1beta1.SupportRequest) (<-chan error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count >= b.most {
		return nil, &fullError{b.most}
	}
	b.count++
	return b.put(entry), nil
}

// put has a request written with the next page. It needs the lock.
func (b *book) put(entry v1beta1.SupportRequest) <-chan error {
	last := b.last()
	last.object.Requests = append(last.object.Requests, entry)
	last.dirty = true
	done := make(chan error, 1)
	b.waiting = append(b.waiting, waiter{last, done})
	b.write()
	return done
}

// last is the page with room. It needs the lock.
func (b *book) last() *page {
	if n := len(b.open); n > 0 && len(b.open[n-1].object.Requests) < pageSize {
		return b.open[n-1]
	}
	b.pages++
	made := &page{object: &v1beta1.SupportAccessRecord{ObjectMeta: metav1.ObjectMeta{
		Namespace: b.access.Namespace, Name: fmt.Sprintf("%s.%s.%d", b.access.Name, b.part, b.pages),
		Labels: map[string]string{v1beta1.LabelSupportAccess: b.access.Name},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1beta1.GroupVersion.String(), Kind: "SupportAccess", Name: b.access.Name, UID: b.access.UID,
		}},
	}}}
	b.open = append(b.open, made)
	return made
}

// finish stores what became of a request. If it cannot, that stays unknown.
func (b *book) finish(id string, code int32, now time.Time) { b.end(id, code, "", now) }

// refuse stores why a request that was stored went no further.
func (b *book) refuse(id string, code int32, why string, now time.Time) { b.end(id, code, why, now) }

func (b *book) end(id string, code int32, refused string, now time.Time) {
	at := metav1.NewMicroTime(now.UTC())
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.open {
		for i := range one.object.Requests {
			if request := &one.object.Requests[i]; request.ID == id {
				request.Code, request.Refused, request.Ended, one.dirty = code, refused, &at, true
			}
		}
	}
	b.write()
}

// write starts the writer, unless it is at work. It needs the lock.
func (b *book) write() {
	if !b.writing {
		b.writing = true
		go b.writer()
	}
}

// writer writes until nothing is left to write. Each write has its time, so that it ends.
func (b *book) writer() {
	for {
		b.mu.Lock()
		waiting := b.waiting
		b.waiting = nil
		var dirty []*page
		var copies []*v1beta1.SupportAccessRecord
		for _, one := range b.open {
			if one.dirty {
				one.dirty = false
				dirty, copies = append(dirty, one), append(copies, one.object.DeepCopy())
			}
		}
		if len(dirty) == 0 && len(waiting) == 0 {
			b.writing = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		b.store(dirty, copies)
		for _, one := range waiting {
			one.done <- one.page.failed // which the writer alone writes
		}
	}
}

// store writes pages. One that could not be written is given up: whose requests it has
// are told, also those that came during the write, and the next ones come on another page.
func (b *book) store(dirty []*page, copies []*v1beta1.SupportAccessRecord) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	for i, one := range dirty {
		var err error
		if one.stored {
			err = b.records.Client.Update(ctx, copies[i])
		} else {
			err = b.records.Client.Create(ctx, copies[i])
		}
		b.mu.Lock()
		one.stored = one.stored || err == nil
		one.object.ResourceVersion, one.object.UID = copies[i].ResourceVersion, copies[i].UID
		if err != nil {
			one.failed = fmt.Errorf("write page %s of the record: %w", copies[i].Name, err)
		}
		if err != nil || full(one) {
			b.close(one)
		}
		b.mu.Unlock()
		if err != nil {
			b.records.Log.Error("record of support not written", "page", copies[i].Name, "error", err)
		}
	}
}

// full says whether nothing more can become of a page.
func full(one *page) bool {
	if len(one.object.Requests) < pageSize || one.dirty {
		return false
	}
	for i := range one.object.Requests {
		if one.object.Requests[i].Ended == nil {
			return false
		}
	}
	return true
}

// close lets go of a page. It needs the lock.
func (b *book) close(one *page) {
	for i := range b.open {
		if b.open[i] == one {
			b.open = append(b.open[:i], b.open[i+1:]...)
			return
		}
	}
}
