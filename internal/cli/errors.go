package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// exitCode is what the shell sees of an error.
func exitCode(err error) int {
	var wrong usageError
	var response *azcore.ResponseError
	var missing notFoundError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &missing), errors.As(err, &response) && response.StatusCode == http.StatusNotFound:
		return exitNotFound
	default:
		return exitError
	}
}

// notFoundError is something missing that ARM did not have to be asked about.
type notFoundError struct{ error }

// explain is an error as the user reads it: ARM's `(Code) message`, and what to do about it where we know.
func explain(err error) string {
	text, code := describe(err)
	if hint := hintFor(err, code); hint != "" {
		text += "\n" + hint
	}
	return "berth: " + text
}

// describe finds ARM's or the login's own words in an error; code is empty if it has none.
func describe(err error) (text, code string) {
	var login *azidentity.AuthenticationFailedError
	if errors.As(err, &login) && login.RawResponse != nil {
		return "log in: " + loginMessage(login), "AuthenticationFailed"
	}
	var response *azcore.ResponseError
	if !errors.As(err, &response) {
		return err.Error(), ""
	}
	body := responseBody(response)
	code = firstOf(body.Code, response.ErrorCode, http.StatusText(response.StatusCode))
	text = fmt.Sprintf("(%s) %s", code, firstOf(body.Message, http.StatusText(response.StatusCode)))
	for _, detail := range body.Details {
		if detail.Message != body.Message {
			text += fmt.Sprintf("\n  (%s) %s", detail.Code, detail.Message)
		}
	}
	if body.Message == "" || response.StatusCode >= http.StatusInternalServerError {
		if id := header(response, "x-ms-correlation-request-id"); id != "" {
			text += "\n  correlation id " + id
		}
	}
	return text, code
}

// armError is an ARM error, which comes wrapped in "error" or flat.
type armError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Details []armError `json:"details"`
}

func responseBody(response *azcore.ResponseError) armError {
	var body struct {
		armError
		Error *armError `json:"error"`
	}
	if response.RawResponse == nil {
		return armError{}
	}
	payload, err := runtime.Payload(response.RawResponse)
	if err != nil || json.Unmarshal(payload, &body) != nil {
		return armError{}
	}
	if body.Error != nil {
		return *body.Error
	}
	return body.armError
}

func header(response *azcore.ResponseError, name string) string {
	if response.RawResponse == nil {
		return ""
	}
	return response.RawResponse.Header.Get(name)
}

func loginMessage(login *azidentity.AuthenticationFailedError) string {
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	payload, err := runtime.Payload(login.RawResponse)
	if err != nil || json.Unmarshal(payload, &body) != nil || body.Error == "" {
		return "the server answered " + login.RawResponse.Status
	}
	line, _, _ := strings.Cut(body.Description, "\r\n")
	return fmt.Sprintf("(%s) %s", body.Error, line)
}

// hints say what to do, by ARM's code.
var hints = map[string]string{
	"ResourceGroupNotFound":      `Resource groups: berth group list. Make one: berth group create -n NAME -l LOCATION`,
	"ResourceNotFound":           `What there is: berth cluster list, berth nodepool list, berth nodepool snapshot list, berth support ticket list`,
	"ParentResourceNotFound":     `Clusters: berth cluster list`,
	"ScopeLocked":                `Locks: berth lock list. Remove one: berth lock delete -n NAME, with -g and --cluster-name as it has them`,
	"LockNotFound":               `Locks: berth lock list`,
	"K8sVersionNotSupported":     `Versions: berth cluster get-versions -l LOCATION`,
	"PreconditionFailed":         `It was changed meanwhile. Look at it and run this again.`,
	"EtagMismatch":               `It was changed meanwhile. Look at it and run this again.`,
	"AuthenticationFailed":       `Are the AZURE_* variables of this shell Berth's? eval "$(berth env)"`,
	"ExpiredAuthenticationToken": `Is this host's clock right?`,
	"SubscriptionNotFound":       `Is AZURE_SUBSCRIPTION_ID Berth's? eval "$(berth env)"`,
	"Throttled":                  `Wait a little and run this again.`,
	"TooManyRequests":            `Wait a little and run this again.`,
}

func hintFor(err error, code string) string {
	switch {
	case errors.Is(err, errNoBerth):
		return `Bring it up: berth up. For a Berth elsewhere set what "berth env" prints there.`
	case errors.Is(err, errNoAccess):
		return `As root: eval "$(berth env)", or run this command as root.`
	case errors.Is(err, syscall.ECONNREFUSED):
		return `Berth does not answer. Look: berth status. Bring it up: berth up`
	case isCertificateError(err):
		return `Set BERTH_CA to the certificate authority of this Berth: eval "$(berth env)"`
	case errors.Is(err, context.Canceled):
		return `An operation that was begun goes on; "show" tells how far it is.`
	}
	var wrong usageError
	if errors.As(err, &wrong) {
		return `Add --help to see what the command takes.`
	}
	var response *azcore.ResponseError
	if code == "OperationNotAllowed" && errors.As(err, &response) && response.StatusCode == http.StatusConflict {
		return `Wait for it: berth cluster wait --updated -g GROUP -n CLUSTER`
	}
	return hints[code]
}

func isCertificateError(err error) bool {
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	return errors.As(err, &unknown) || errors.As(err, &verification)
}
