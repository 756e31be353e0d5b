package cli

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// eventVersion is the api-version of event subscriptions that az and the SDKs use.
const eventVersion = "2022-06-15"

var eventColumns = []column{{"Name", "name"}, {"ResourceGroup", "resourceGroup"}, {"Endpoint", "endpoint"}, {"Types", "types"}, {"Topic", "topic"}}

// eventCommand is `berth event-subscription`, with the verbs and flags of
// `az eventgrid event-subscription`.
func (s *session) eventCommand() *cobra.Command {
	return s.common(noun("event-subscription", "What happens, sent to a webhook as signed CloudEvents",
		s.eventCreate(), s.eventUpdate(), s.eventShow(), s.eventList(), s.eventDelete(),
		noun("key", "The keys that deliveries are signed with", s.eventKeys(), s.eventRegenerate())))
}

// eventScope is whose events are meant: the subscription's if all is empty.
type eventScope struct{ id, group, cluster string }

func (s *session) eventScopeFlags(command *cobra.Command, at *eventScope) {
	flags := command.Flags()
	flags.StringVar(&at.id, "source-resource-id", "", "id of a subscription, a resource group or a cluster")
	flags.StringVarP(&at.group, "resource-group", "g", "", "resource group; the subscription's events if not given")
	flags.StringVar(&at.cluster, "cluster-name", "", "cluster; the resource group's events if not given")
	command.MarkFlagsMutuallyExclusive("source-resource-id", "resource-group")
	command.MarkFlagsMutuallyExclusive("source-resource-id", "cluster-name")
}

// path is that of a scope's event subscriptions, or of one of them, below the subscription.
func (e eventScope) path(c *clients, name ...string) ([]string, error) {
	var scope []string
	switch {
	case e.id != "":
		segments := strings.FieldsFunc(e.id, func(r rune) bool { return r == '/' })
		if len(segments) < 2 || !strings.EqualFold(segments[0], "subscriptions") || !strings.EqualFold(segments[1], c.subscription) {
			return nil, usageError{errors.New("--source-resource-id is no id of this subscription: it begins with /subscriptions/" + c.subscription)}
		}
		scope = segments[2:]
	case e.group == "" && e.cluster != "":
		return nil, usageError{errors.New("--resource-group is missing: it says where the cluster is")}
	case e.cluster != "":
		scope = []string{"resourceGroups", e.group, "providers", "Microsoft.ContainerService", "managedClusters", e.cluster}
	case e.group != "":
		scope = []string{"resourceGroups", e.group}
	}
	return slices.Concat(scope, []string{"providers", "Microsoft.EventGrid", "eventSubscriptions"}, name), nil
}

func (s *session) eventName(command *cobra.Command, name *string, at *eventScope) {
	s.eventScopeFlags(command, at)
	s.addName(command, name, nameFlag{"name", "n", "name of the event subscription", func(ctx context.Context, c *clients) ([]string, error) {
		all, err := listEvents(ctx, c, *at)
		names := make([]string, 0, len(all))
		for _, one := range all {
			names = append(names, textAt(one, "name"))
		}
		return names, err
	}})
}

func listEvents(ctx context.Context, c *clients, at eventScope) ([]map[string]any, error) {
	path, err := at.path(c)
	if err != nil {
		return nil, err
	}
	found, err := listAll[map[string]any](ctx, c, c.of(http.MethodGet, eventVersion, path...))
	for i := range found {
		found[i] = eventRow(found[i])
	}
	return found, err
}

// eventRow is an event subscription as a row: what it is about, where it goes, and which types.
func eventRow(one map[string]any) map[string]any {
	row := flat(one)
	if destination, ok := row["destination"].(map[string]any); ok {
		if properties, ok := destination["properties"].(map[string]any); ok {
			row["endpoint"] = textAt(properties, "endpointBaseUrl")
		}
	}
	row["types"] = "all"
	if filter, ok := row["filter"].(map[string]any); ok {
		if types, ok := filter["includedEventTypes"].([]any); ok && len(types) > 0 {
			names := make([]string, 0, len(types))
			for _, name := range types {
				text, _ := name.(string)
				names = append(names, text)
			}
			row["types"] = strings.Join(names, ",")
		}
	}
	return row
}

// event sends a request about one event subscription and returns the answer.
func (c *clients) event(ctx context.Context, method string, body any, path ...string) (map[string]any, error) {
	asked := c.of(method, eventVersion, path...)
	asked.body, asked.wanted = body, []int{http.StatusOK, http.StatusCreated}
	return c.answer(ctx, asked)
}

// eventFlags are what an event subscription is made or changed with, by az's names.
type eventFlags struct {
	endpoint, begins, ends, expires string
	types, labels                   []string
	caseSensitive                   bool
	attempts, ttl                   int
}

func (f *eventFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.endpoint, "endpoint", "", "URL of the webhook; its query is kept as a secret")
	flags.StringSliceVar(&f.types, "included-event-types", nil, "types of events (default: all)")
	flags.StringVar(&f.begins, "subject-begins-with", "", "what an event's subject begins with")
	flags.StringVar(&f.ends, "subject-ends-with", "", "what an event's subject ends with")
	flags.BoolVar(&f.caseSensitive, "subject-case-sensitive", false, "whether the casing of a subject counts")
	flags.IntVar(&f.attempts, "max-delivery-attempts", 0, "how often an event is tried, 1 to 30 (default 30)")
	flags.IntVar(&f.ttl, "event-ttl", 0, "for how many minutes an event is tried, 1 to 1440 (default 1440)")
	flags.StringSliceVar(&f.labels, "labels", nil, "labels")
	flags.StringVar(&f.expires, "expiration-date", "", "when the event subscription ends, such as 2027-01-31T00:00:00Z")
}

// into writes what was given into the properties of an event subscription.
func (f *eventFlags) into(command *cobra.Command, properties map[string]any) {
	part := func(name string) map[string]any {
		inner, ok := properties[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			properties[name] = inner
		}
		return inner
	}
	for flag, set := range map[string]func(){
		"endpoint": func() {
			properties["destination"] = map[string]any{"endpointType": "WebHook", "properties": map[string]any{"endpointUrl": f.endpoint}}
		},
		"included-event-types":   func() { part("filter")["includedEventTypes"] = f.types },
		"subject-begins-with":    func() { part("filter")["subjectBeginsWith"] = f.begins },
		"subject-ends-with":      func() { part("filter")["subjectEndsWith"] = f.ends },
		"subject-case-sensitive": func() { part("filter")["isSubjectCaseSensitive"] = f.caseSensitive },
		"max-delivery-attempts":  func() { part("retryPolicy")["maxDeliveryAttempts"] = f.attempts },
		"event-ttl":              func() { part("retryPolicy")["eventTimeToLiveInMinutes"] = f.ttl },
		"labels":                 func() { properties["labels"] = f.labels },
		"expiration-date":        func() { properties["expirationTimeUtc"] = f.expires },
	} {
		if command.Flags().Changed(flag) {
			set()
		}
	}
}

func (s *session) printEvent(one map[string]any, err error) error {
	if err != nil {
		return err
	}
	return s.print(eventRow(one), eventColumns)
}

func (s *session) eventCreate() *cobra.Command {
	var at eventScope
	var name string
	var flags eventFlags
	var command *cobra.Command
	command = s.verb("create", "Have what happens at a subscription, a resource group or a cluster sent to a webhook", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name)
		if err != nil {
			return err
		}
		properties := map[string]any{"eventDeliverySchema": "CloudEventSchemaV1_0"}
		flags.into(command, properties)
		if _, err := c.event(ctx, http.MethodPut, map[string]any{"properties": properties}, path...); err != nil {
			return err
		}
		return s.printEvent(c.event(ctx, http.MethodGet, nil, path...))
	})
	s.eventName(command, &name, &at)
	flags.add(command)
	must(command, "endpoint")
	return command
}

func (s *session) eventUpdate() *cobra.Command {
	var at eventScope
	var name string
	var flags eventFlags
	var command *cobra.Command
	command = s.verb("update", "Change where events go, which, and how long they are tried", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name)
		if err != nil {
			return err
		}
		there, err := c.event(ctx, http.MethodGet, nil, path...)
		if err != nil {
			return err
		}
		properties, _ := there["properties"].(map[string]any)
		changed := map[string]any{"filter": properties["filter"], "retryPolicy": properties["retryPolicy"]}
		flags.into(command, changed)
		if _, err := c.event(ctx, http.MethodPatch, changed, path...); err != nil {
			return err
		}
		return s.printEvent(c.event(ctx, http.MethodGet, nil, path...))
	})
	s.eventName(command, &name, &at)
	flags.add(command)
	return command
}

func (s *session) eventShow() *cobra.Command {
	var at eventScope
	var name string
	var full bool
	command := s.verb("show", "Show an event subscription", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name)
		if err != nil {
			return err
		}
		one, err := c.event(ctx, http.MethodGet, nil, path...)
		if err != nil || !full {
			return s.printEvent(one, err)
		}
		row := eventRow(one)
		answer, err := c.event(ctx, http.MethodPost, nil, append(path, "getFullUrl")...)
		if err != nil {
			return err
		}
		row["endpoint"] = answer["endpointUrl"]
		return s.print(row, eventColumns)
	})
	s.eventName(command, &name, &at)
	command.Flags().BoolVar(&full, "include-full-endpoint-url", false, "show the webhook's URL with its secret query")
	return command
}

func (s *session) eventList() *cobra.Command {
	var at eventScope
	command := s.verb("list", "List the event subscriptions of a scope, and of what is below a subscription or a resource group", func(ctx context.Context, c *clients) error {
		all, err := listEvents(ctx, c, at)
		if err != nil {
			return err
		}
		return s.print(all, eventColumns)
	})
	s.eventScopeFlags(command, &at)
	return command
}

func (s *session) eventDelete() *cobra.Command {
	var at eventScope
	var name string
	command := s.verb("delete", "Remove an event subscription; what was not delivered yet is not any more", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name)
		if err != nil {
			return err
		}
		// ARM takes the deletion of what is not there for done; whoever types a name wants to hear of it.
		if _, err := c.event(ctx, http.MethodGet, nil, path...); err != nil {
			return err
		}
		return c.remove(ctx, eventVersion, path...)
	})
	s.eventName(command, &name, &at)
	return command
}

var eventKeyColumns = []column{{"Key1", "key1"}, {"Key2", "key2"}}

func (s *session) eventKeys() *cobra.Command {
	var at eventScope
	var name string
	command := s.verb("list", "Show both keys", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name, "listKeys")
		if err != nil {
			return err
		}
		keys, err := c.event(ctx, http.MethodPost, nil, path...)
		if err != nil {
			return err
		}
		return s.print(keys, eventKeyColumns)
	})
	s.eventName(command, &name, &at)
	return command
}

func (s *session) eventRegenerate() *cobra.Command {
	var at eventScope
	var name, key string
	command := s.verb("regenerate", "Replace one of the keys; deliveries are signed with both", func(ctx context.Context, c *clients) error {
		path, err := at.path(c, name, "regenerateKey")
		if err != nil {
			return err
		}
		keys, err := c.event(ctx, http.MethodPost, map[string]any{"keyName": key}, path...)
		if err != nil {
			return err
		}
		return s.print(keys, eventKeyColumns)
	})
	s.eventName(command, &name, &at)
	command.Flags().StringVar(&key, "key-name", "", "key1 or key2")
	offer(command, "key-name", "key1", "key2")
	must(command, "key-name")
	return command
}
