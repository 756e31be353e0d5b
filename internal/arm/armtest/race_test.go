package armtest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/operation"
)

const racePath = "/subscriptions/" + Subscription + "/resourceGroups/rg1/providers/Microsoft.ContainerService/managedClusters/c1"

func (w *World) send(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, w.Server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.Token(t, ClientID))
	answer, err := w.Server.Client().Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer answer.Body.Close()
	raw, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(raw)
}

// unfinished are the operations that somebody will still carry out.
func (w *World) unfinished(t *testing.T) []v1beta1.Operation {
	t.Helper()
	var list v1beta1.OperationList
	if err := w.Client.List(context.Background(), &list); err != nil {
		t.Fatal(err)
	}
	var left []v1beta1.Operation
	for _, op := range list.Items {
		if !operation.Finished(&op) {
			left = append(left, op)
		}
	}
	return left
}

// Of many who create or change a cluster at the same time one wins, the others
// are told so, and nothing that they asked for happens later.
func TestOneOfManyWins(t *testing.T) {
	w := New(t)
	if status, body := w.send(t, http.MethodPut, "/subscriptions/"+Subscription+"/resourcegroups/rg1?api-version=2021-04-01", `{"location":"westus2"}`); status != http.StatusCreated {
		t.Fatal(body)
	}
	w.Token(t, ClientID)
	for round, won := range []int{http.StatusCreated, http.StatusOK} {
		const rivals = 8
		answers := make(chan int, rivals)
		var group sync.WaitGroup
		for i := range rivals {
			group.Go(func() {
				body := `{"location":"westus2","tags":{"by":"` + string(rune('a'+i)) + `"},"properties":{"agentPoolProfiles":[{"name":"np1","mode":"System","count":1}]}}`
				status, text := w.send(t, http.MethodPut, racePath+"?api-version=2025-02-01", body)
				if status != won && status != http.StatusConflict {
					t.Errorf("round %d: %d %s", round, status, text)
				}
				answers <- status
			})
		}
		group.Wait()
		close(answers)
		winners := 0
		for status := range answers {
			if status == won {
				winners++
			}
		}
		if left := w.unfinished(t); winners != 1 || len(left) != 1 {
			t.Fatalf("round %d: %d winners and %d operations go on, want one of each", round, winners, len(left))
		}
		if err := w.Settle(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
