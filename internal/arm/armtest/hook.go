package armtest

import (
	"encoding/pem"
	"net/http"

	"berth.dev/berth/api/v1beta1"
)

// Hook is the path of a webhook on the World's server that takes events from everybody.
const Hook = "/hook"

func withHook(others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != Hook {
			others.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WebHook-Allowed-Origin", "*")
	})
}

// webhooks let Berth reach the World's server, and nothing else of this host.
func (w *World) webhooks() *v1beta1.WebhookPolicy {
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Server.Certificate().Raw})
	return &v1beta1.WebhookPolicy{AllowedRanges: []string{"127.0.0.1/32"}, CABundle: string(certificate)}
}
