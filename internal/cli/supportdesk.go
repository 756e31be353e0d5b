package cli

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The support desk on the wire.
const (
	supportVersion  = "2024-04-01"
	supportProvider = "Microsoft.Support"
	supportService  = "kubernetes-service"
)

var (
	ticketColumns        = []column{{"Name", "name"}, {"Title", "title"}, {"Problem", "problem"}, {"Severity", "severity"}, {"Status", "status"}, {"CreatedDate", "createdDate"}}
	communicationColumns = []column{{"Name", "name"}, {"Sender", "sender"}, {"CreatedDate", "createdDate"}, {"Subject", "subject"}}
	triageColumns        = []column{{"Answer", "answer"}, {"Summary", "summary"}, {"Time", "time"}}
	reasonColumns        = []column{{"Clause", "clause"}, {"Answer", "answer"}, {"Evidence", "evidence"}, {"Next", "next"}}
	knownColumns         = []column{{"KnownIssue", "name"}, {"Title", "title"}, {"Evidence", "evidence"}, {"Workaround", "workaround"}, {"FixedIn", "fixedIn"}, {"Upstream", "links"}}
	serviceColumns       = []column{{"Name", "name"}, {"DisplayName", "displayName"}}
)

// supportCommand is `berth support`, with the verbs of `az support`.
func (s *session) supportCommand() *cobra.Command {
	return s.common(noun("support", "Support tickets, and what the support policy says of them",
		noun("ticket", "Support tickets of the subscription", s.ticketCreate(), s.ticketList(), s.ticketShow(), s.ticketUpdate()),
		noun("communication", "What is said on a ticket", s.communicationCreate(), s.communicationList()),
		noun("services", "What tickets can be about", s.servicesList(),
			noun("problem-classifications", "The problems that a ticket can name", s.problemsList())),
		s.supportTriage(), s.consentCommand(), s.accessCommand(),
	))
}

// desk is a call on the subscription's tickets.
func (c *clients) desk(method string, body any, path ...string) call {
	asked := c.of(method, supportVersion, append([]string{"providers", supportProvider, "supportTickets"}, path...)...)
	asked.body = body
	return asked
}

// answered sends a call and returns the resource that comes back, as az shows it.
func (c *clients) answered(ctx context.Context, asked call) (map[string]any, error) {
	response, err := c.exchange(ctx, asked)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var body map[string]any
	if err := runtime.UnmarshalAsJSON(response, &body); err != nil {
		return nil, err
	}
	return ticketRow(flat(body)), nil
}

// ticketRow adds a problem's own name to a ticket.
func ticketRow(row map[string]any) map[string]any {
	if id := textAt(row, "problemClassificationId"); id != "" {
		row["problem"] = id[strings.LastIndex(id, "/")+1:]
	}
	return row
}

func rows(found []map[string]any) []map[string]any {
	for i := range found {
		found[i] = ticketRow(flat(found[i]))
	}
	return found
}

func (s *session) ticketFlag(command *cobra.Command, into *string) {
	s.addName(command, into, nameFlag{"ticket-name", "", "name of the ticket", func(ctx context.Context, c *clients) ([]string, error) {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil))
		names := make([]string, 0, len(found))
		for _, one := range found {
			names = append(names, textAt(one, "name"))
		}
		return names, err
	}})
}

// contactFlags are az's, of who is answered.
var contactFlags = []struct{ flag, field, help string }{
	{"contact-first-name", "firstName", "first name"},
	{"contact-last-name", "lastName", "last name"},
	{"contact-method", "preferredContactMethod", "email or phone"},
	{"contact-email", "primaryEmailAddress", "e-mail address"},
	{"contact-phone-number", "phoneNumber", "phone number, which contact by phone needs"},
	{"contact-timezone", "preferredTimeZone", "time zone, such as \"W. Europe Standard Time\""},
	{"contact-country", "country", "country, as three letters of ISO 3166-1"},
	{"contact-language", "preferredSupportLanguage", "language, such as en-us"},
}

// addContact adds the flags of contact details, required ones where a ticket is made.
func addContact(command *cobra.Command, required bool) {
	for _, one := range contactFlags {
		command.Flags().String(one.flag, "", "contact: "+one.help)
		if required && one.flag != "contact-phone-number" {
			must(command, one.flag)
		}
	}
	command.Flags().StringArray("contact-additional-emails", nil, "contact: e-mail addresses that get copies")
}

// contactOf is what the flags say, nil if they say nothing.
func contactOf(flags *pflag.FlagSet) map[string]any {
	contact := map[string]any{}
	for _, one := range contactFlags {
		if found := flags.Lookup(one.flag); found.Changed {
			contact[one.field] = found.Value.String()
		}
	}
	if copies, err := flags.GetStringArray("contact-additional-emails"); err == nil && len(copies) > 0 {
		contact["additionalEmailAddresses"] = copies
	}
	if len(contact) == 0 {
		return nil
	}
	return contact
}

// resourceName makes --resource-id another name of az's --technical-resource.
func resourceName(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	if name == "resource-id" {
		name = "technical-resource"
	}
	return pflag.NormalizedName(name)
}

func (s *session) ticketCreate() *cobra.Command {
	var name, title, description, severity, problem, resource, consent, start string
	var around bool
	var command *cobra.Command
	command = s.verb("create", "Open a ticket; it is answered at once, with the clause of the support policy", func(ctx context.Context, c *clients) error {
		service := "/providers/" + supportProvider + "/services/" + supportService
		if !strings.Contains(problem, "/") {
			problem = service + "/problemClassifications/" + problem
		}
		properties := map[string]any{
			"serviceId": service, "problemClassificationId": problem, "title": title, "description": description, "severity": severity,
			"advancedDiagnosticConsent": consent, "require24X7Response": around, "problemStartTime": start,
			"contactDetails": contactOf(command.Flags()), "technicalTicketDetails": map[string]any{"resourceId": resource},
		}
		made, err := c.answered(ctx, c.desk(http.MethodPut, map[string]any{"properties": properties}, name))
		if err != nil {
			return err
		}
		if err := s.print(made, ticketColumns); err != nil || s.output != "table" {
			return err
		}
		triage, err := c.answered(ctx, c.desk(http.MethodGet, nil, name, "triage"))
		if err != nil {
			return err
		}
		fmt.Fprintln(s.streams.Out)
		return s.showTriage(triage)
	})
	s.ticketFlag(command, &name)
	command.Flags().SetNormalizeFunc(resourceName)
	for _, one := range []struct {
		into              *string
		flag, value, help string
	}{
		{&title, "title", "", "what it is about, in a few words"},
		{&description, "description", "", "what happens, since when, and what was tried"},
		{&severity, "severity", "", "minimal, moderate, critical or highestcriticalimpact"},
		{&problem, "problem-classification", "", "name or id of the problem: `berth support services problem-classifications list`"},
		{&consent, "advanced-diagnostic-consent", "No", "Yes if support may look into the cluster, or No"},
		{&resource, "technical-resource", "", "id of the cluster that it is about (also --resource-id)"},
		{&start, "start-time", "", "when the problem began, such as 2026-11-26T12:00:00Z"},
	} {
		command.Flags().StringVar(one.into, one.flag, one.value, one.help)
	}
	for _, flag := range []string{"title", "description", "severity", "problem-classification"} {
		must(command, flag)
	}
	command.Flags().BoolVar(&around, "require-24-by-7-response", false, "ask for an answer around the clock")
	addContact(command, true)
	return command
}

func (s *session) ticketList() *cobra.Command {
	return s.verb("list", "List the tickets of the subscription", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil))
		if err != nil {
			return err
		}
		return s.print(rows(found), ticketColumns)
	})
}

func (s *session) ticketShow() *cobra.Command {
	var name string
	command := s.verb("show", "Show a ticket", func(ctx context.Context, c *clients) error {
		found, err := c.answered(ctx, c.desk(http.MethodGet, nil, name))
		if err != nil {
			return err
		}
		return s.print(found, ticketColumns)
	})
	s.ticketFlag(command, &name)
	return command
}

func (s *session) ticketUpdate() *cobra.Command {
	var name, severity, status, consent string
	var command *cobra.Command
	command = s.verb("update", "Change a ticket's severity, consent or contact, or close it", func(ctx context.Context, c *clients) error {
		body := map[string]any{"severity": severity, "status": status, "advancedDiagnosticConsent": consent, "contactDetails": contactOf(command.Flags())}
		changed, err := c.answered(ctx, c.desk(http.MethodPatch, body, name))
		if err != nil {
			return err
		}
		return s.print(changed, ticketColumns)
	})
	s.ticketFlag(command, &name)
	command.Flags().StringVar(&severity, "severity", "", "minimal, moderate, critical or highestcriticalimpact")
	command.Flags().StringVar(&status, "status", "", "open or closed")
	command.Flags().StringVar(&consent, "advanced-diagnostic-consent", "", "Yes if support may look into the cluster, or No")
	addContact(command, false)
	one := []string{"severity", "status", "advanced-diagnostic-consent", "contact-additional-emails"}
	for _, contact := range contactFlags {
		one = append(one, contact.flag)
	}
	command.MarkFlagsOneRequired(one...)
	return command
}

func (s *session) communicationCreate() *cobra.Command {
	var ticket, name, subject, body, sender string
	command := s.verb("create", "Say something on a ticket", func(ctx context.Context, c *clients) error {
		properties := map[string]any{"subject": subject, "body": body, "sender": sender}
		made, err := c.answered(ctx, c.desk(http.MethodPut, map[string]any{"properties": properties}, ticket, "communications", name))
		if err != nil {
			return err
		}
		return s.print(made, communicationColumns)
	})
	s.ticketFlag(command, &ticket)
	command.Flags().StringVar(&name, "communication-name", "", "name of the message")
	command.Flags().StringVar(&subject, "communication-subject", "", "its subject")
	command.Flags().StringVar(&body, "communication-body", "", "its text")
	command.Flags().StringVar(&sender, "communication-sender", "", "e-mail address of the sender, which an application must give; support speaks as who it is")
	for _, flag := range []string{"communication-name", "communication-subject", "communication-body"} {
		must(command, flag)
	}
	return command
}

// communicationList shows people the texts below the table.
func (s *session) communicationList() *cobra.Command {
	var ticket string
	command := s.verb("list", "Show what was said on a ticket", func(ctx context.Context, c *clients) error {
		found, err := listAll[map[string]any](ctx, c, c.desk(http.MethodGet, nil, ticket, "communications"))
		if err != nil {
			return err
		}
		if err := s.print(rows(found), communicationColumns); err != nil || s.output != "table" {
			return err
		}
		for _, one := range found {
			fmt.Fprintf(s.streams.Out, "\n%s: %s\n%s\n", textAt(one, "sender"), textAt(one, "subject"), textAt(one, "body"))
		}
		return nil
	})
	s.ticketFlag(command, &ticket)
	return command
}

// services lists what is the same for every subscription.
func (s *session) services(ctx context.Context, c *clients, path ...string) error {
	asked := call{method: http.MethodGet, version: supportVersion, path: append([]string{"providers", supportProvider, "services"}, path...), wanted: []int{http.StatusOK}}
	found, err := listAll[map[string]any](ctx, c, asked)
	if err != nil {
		return err
	}
	return s.print(rows(found), serviceColumns)
}

func (s *session) servicesList() *cobra.Command {
	return s.verb("list", "List the services that tickets can be about", func(ctx context.Context, c *clients) error { return s.services(ctx, c) })
}

func (s *session) problemsList() *cobra.Command {
	var service string
	command := s.verb("list", "List the problems that a ticket can name", func(ctx context.Context, c *clients) error {
		return s.services(ctx, c, service, "problemClassifications")
	})
	command.Flags().StringVar(&service, "service-name", supportService, "name of the service")
	return command
}

func (s *session) supportTriage() *cobra.Command {
	var name string
	var again bool
	command := s.verb("triage", "Show what the support policy says of a ticket: the clause, the evidence and what to do next", func(ctx context.Context, c *clients) error {
		method := http.MethodGet
		if again {
			method = http.MethodPost
		}
		found, err := c.answered(ctx, c.desk(method, nil, name, "triage"))
		if err != nil {
			return err
		}
		return s.showTriage(found)
	})
	s.ticketFlag(command, &name)
	command.Flags().BoolVar(&again, "again", false, "look into the cluster and decide anew")
	return command
}

// showTriage prints the answer and, for people in a table of their own, the reasons.
func (s *session) showTriage(found map[string]any) error {
	if err := s.print(found, triageColumns); err != nil || s.output != "table" {
		return err
	}
	reasons := objectsAt(found, "reasons")
	fmt.Fprintln(s.streams.Out)
	issues := objectsAt(found, "knownIssues")
	if err := s.print(reasons, reasonColumns); err != nil || len(issues) == 0 {
		return err
	}
	fmt.Fprintln(s.streams.Out)
	return s.print(issues, knownColumns)
}
