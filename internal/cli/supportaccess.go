package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	consentColumns = []column{{"AdvancedDiagnosticConsent", "advancedDiagnosticConsent"}, {"Scopes", "scopes"}, {"Since", "since"}, {"Expires", "expires"}, {"GivenBy", "givenBy"}}
	accessColumns  = []column{{"Name", "name"}, {"State", "state"}, {"Engineer", "engineer"}, {"Scopes", "scopes"}, {"Created", "created"}, {"Expires", "expires"}, {"EndReason", "endReason"}, {"Reason", "reason"}}
	requestColumns = []column{{"Time", "time"}, {"Engineer", "engineer"}, {"Verb", "verb"}, {"Resource", "resource"}, {"Namespace", "namespace"}, {"Name", "objectName"}, {"Code", "code"}, {"Refused", "refused"}}
)

// consentCommand is the customer's side of just-in-time access (B2, C7).
func (s *session) consentCommand() *cobra.Command {
	return noun("consent", "What a ticket lets support do in its cluster", s.consentCreate(), s.consentShow(), s.consentDelete())
}

// accessCommand is both sides' view of what support has access to (C7, X5).
func (s *session) accessCommand() *cobra.Command {
	return noun("access", "Support's just-in-time access to a ticket's cluster, and the record of what was done",
		s.accessCreate(), s.accessList(), s.accessShow(), s.accessRevoke(), s.accessGetCredentials(), s.accessLog())
}

func (s *session) consentCreate() *cobra.Command {
	var ticket, expires string
	var scopes []string
	command := s.verb("create", "Consent to support's access to the ticket's cluster, instead of what was consented to before", func(ctx context.Context, c *clients) error {
		properties := map[string]any{"scopes": scopes}
		if expires != "" {
			properties["expires"] = expires
		}
		found, err := c.answered(ctx, c.desk(http.MethodPut, map[string]any{"properties": properties}, ticket, "accessConsent"))
		if err != nil {
			return err
		}
		return s.print(found, consentColumns)
	})
	s.ticketFlag(command, &ticket)
	s.scopesFlag(command, &scopes)
	command.Flags().StringVar(&expires, "expires", "", "when the consent ends, such as 2026-11-26T18:00:00Z; without it, when the ticket is closed")
	return command
}

func (s *session) scopesFlag(command *cobra.Command, into *[]string) {
	command.Flags().StringSliceVar(into, "scopes", []string{"Diagnose"}, "Diagnose, ContainerLogs, NodeLogs, Exec, with commas between")
	offer(command, "scopes", "Diagnose", "ContainerLogs", "NodeLogs", "Exec")
}

func (s *session) consentShow() *cobra.Command {
	var ticket string
	command := s.verb("show", "Show what a ticket consents to", func(ctx context.Context, c *clients) error {
		found, err := c.answered(ctx, c.desk(http.MethodGet, nil, ticket, "accessConsent"))
		if err != nil {
			return err
		}
		return s.print(found, consentColumns)
	})
	s.ticketFlag(command, &ticket)
	return command
}

func (s *session) consentDelete() *cobra.Command {
	var ticket string
	command := s.verb("delete", "Withdraw the consent: support's access ends at once", func(ctx context.Context, c *clients) error {
		asked := c.desk(http.MethodDelete, nil, ticket, "accessConsent")
		asked.wanted = []int{http.StatusNoContent}
		answer, err := c.exchange(ctx, asked)
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
	s.ticketFlag(command, &ticket)
	return command
}

func (s *session) accessFlags(command *cobra.Command, ticket, name *string) {
	s.ticketFlag(command, ticket)
	s.addName(command, name, nameFlag{"access-name", "n", "name of the access", func(ctx context.Context, c *clients) ([]string, error) {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil, *ticket, "accesses"))
		names := make([]string, 0, len(found))
		for _, one := range found {
			names = append(names, textAt(one, "name"))
		}
		return names, err
	}})
}

// newAccessName draws a GUID.
func newAccessName() string {
	var raw [16]byte
	rand.Read(raw[:])
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
}

func (s *session) accessCreate() *cobra.Command {
	var ticket, name, reason string
	var scopes []string
	var minutes int64
	var command *cobra.Command
	command = s.verb("create", "Ask for access to the ticket's cluster, as an engineer of support", func(ctx context.Context, c *clients) error {
		if name == "" {
			name = newAccessName()
		}
		properties := map[string]any{"scopes": scopes, "reason": reason}
		if command.Flags().Changed("duration-in-minutes") {
			properties["durationInMinutes"] = minutes
		}
		made, err := c.answered(ctx, c.desk(http.MethodPut, map[string]any{"properties": properties}, ticket, "accesses", name))
		if err != nil {
			return err
		}
		return s.print(made, accessColumns)
	})
	s.ticketFlag(command, &ticket)
	s.scopesFlag(command, &scopes)
	command.Flags().StringVarP(&name, "access-name", "n", "", "name of the access, a GUID (default: one is drawn)")
	command.Flags().StringVar(&reason, "reason", "", "what you mean to do, for the customer to read")
	command.Flags().Int64Var(&minutes, "duration-in-minutes", 60, "how long it lasts")
	must(command, "reason")
	return command
}

func (s *session) accessList() *cobra.Command {
	var ticket string
	command := s.verb("list", "List the accesses of a ticket, also those that have ended", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil, ticket, "accesses"))
		if err != nil {
			return err
		}
		return s.print(rows(found), accessColumns)
	})
	s.ticketFlag(command, &ticket)
	return command
}

func (s *session) accessShow() *cobra.Command {
	var ticket, name string
	command := s.verb("show", "Show an access", func(ctx context.Context, c *clients) error {
		found, err := c.answered(ctx, c.desk(http.MethodGet, nil, ticket, "accesses", name))
		if err != nil {
			return err
		}
		return s.print(found, accessColumns)
	})
	s.accessFlags(command, &ticket, &name)
	return command
}

func (s *session) accessRevoke() *cobra.Command {
	var ticket, name string
	command := s.verb("revoke", "End an access at once, for good", func(ctx context.Context, c *clients) error {
		found, err := c.answered(ctx, c.desk(http.MethodPost, nil, ticket, "accesses", name, "revoke"))
		if err != nil {
			return err
		}
		return s.print(found, accessColumns)
	})
	s.accessFlags(command, &ticket, &name)
	return command
}

func (s *session) accessGetCredentials() *cobra.Command {
	var ticket, name string
	var options credentialOptions
	command := s.verb("get-credentials", "Merge an access's credential into your kubeconfig; one from before is void", func(ctx context.Context, c *clients) error {
		found, err := c.answered(ctx, c.desk(http.MethodPost, nil, ticket, "accesses", name, "listCredentials"))
		if err != nil {
			return err
		}
		list, _ := found["kubeconfigs"].([]any)
		if len(list) == 0 {
			return fmt.Errorf("the server gave no credentials for access %s", name)
		}
		one, _ := list[0].(map[string]any)
		text, err := base64.StdEncoding.DecodeString(textAt(one, "value"))
		if err != nil {
			return fmt.Errorf("read the kubeconfig from the server: %w", err)
		}
		addition, err := parseCredential(text, options.context)
		if err != nil {
			return err
		}
		if options.file != "-" {
			return s.mergeInto(ctx, options, addition)
		}
		if text, err = clientcmd.Write(*addition); err != nil {
			return fmt.Errorf("write kubeconfig: %w", err)
		}
		_, err = s.streams.Out.Write(text)
		return err
	})
	s.accessFlags(command, &ticket, &name)
	flags := command.Flags()
	flags.BoolVar(&options.overwrite, "overwrite-existing", false, "replace entries of the same names")
	flags.StringVarP(&options.file, "file", "f", "", "kubeconfig to merge into, - for standard output (KUBECONFIG or ~/.kube/config)")
	flags.StringVar(&options.context, "context", "", "name of the context and the cluster entry")
	return command
}

func (s *session) accessLog() *cobra.Command {
	var ticket, name string
	command := s.verb("log", "Show every request that was made with an access", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil, ticket, "accesses", name, "requests"))
		if err != nil {
			return err
		}
		return s.print(rows(found), requestColumns)
	})
	s.accessFlags(command, &ticket, &name)
	return command
}
