package registry

import (
	"encoding/json"
	"net/http"
)

// apiError is an error in the words of the distribution specification.
type apiError struct {
	status  int
	code    string
	message string
}

var (
	errNoSuchPath      = &apiError{http.StatusNotFound, "UNSUPPORTED", "no such path"}
	errMethod          = &apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "this path does not take this method"}
	errUnauthorized    = &apiError{http.StatusUnauthorized, "UNAUTHORIZED", "pushing needs a writer's credentials"}
	errReadOnly        = &apiError{http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only"}
	errName            = &apiError{http.StatusBadRequest, "NAME_INVALID", "not a repository name"}
	errTag             = &apiError{http.StatusBadRequest, "TAG_INVALID", "not a tag"}
	errDigest          = &apiError{http.StatusBadRequest, "DIGEST_INVALID", "digest does not match the content"}
	errBlobUnknown     = &apiError{http.StatusNotFound, "BLOB_UNKNOWN", "no such blob"}
	errNameUnknown     = &apiError{http.StatusNotFound, "NAME_UNKNOWN", "no such repository"}
	errManifestUnknown = &apiError{http.StatusNotFound, "MANIFEST_UNKNOWN", "no such manifest"}
	errManifestInvalid = &apiError{http.StatusBadRequest, "MANIFEST_INVALID", "not a manifest"}
	errManifestBlob    = &apiError{http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "the manifest names content that is not here"}
	errTooLarge        = &apiError{http.StatusRequestEntityTooLarge, "SIZE_INVALID", "a manifest has at most 4 MiB"}
	errUploadUnknown   = &apiError{http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload"}
	errUploadInvalid   = &apiError{http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "the upload broke off"}
	errRange           = &apiError{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", "the chunk does not start where the upload ends"}
	errBusy            = &apiError{http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many uploads at once"}
	errFull            = &apiError{http.StatusInsufficientStorage, "UNKNOWN", "the registry's disk is full"}
	errInternal        = &apiError{http.StatusInternalServerError, "UNKNOWN", "internal error"}
)

func (e *apiError) Error() string { return e.code + ": " + e.message }

// with is the same error, saying what exactly is wrong.
func (e *apiError) with(message string) *apiError {
	return &apiError{e.status, e.code, message}
}

func (e *apiError) write(w http.ResponseWriter) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(map[string][]one{"errors": {{e.code, e.message}}}) // the client went away
}
