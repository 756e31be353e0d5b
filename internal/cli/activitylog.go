package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// activityVersion is the api-version of the activity log.
const activityVersion = "2015-04-01"

var activityColumns = []column{{"Time", "time"}, {"Caller", "caller"}, {"Operation", "operation"}, {"Status", "statusText"}, {"Resource", "resource"}, {"Message", "message"}}

// monitorCommand is `berth monitor`, with the verbs and flags of `az monitor`.
func (s *session) monitorCommand() *cobra.Command {
	return s.common(noun("monitor", "What happens in the subscription",
		noun("activity-log", "Who did what, and what Berth did by itself", s.activityList())))
}

// activityQuery is what is asked for of the log.
type activityQuery struct {
	start, end                                                  string
	offset                                                      time.Duration
	correlation, group, resource, namespace, caller, statusCode string
	most                                                        int
}

// activityFilters are the fields of the log, by their flags; az takes the first of the
// first four that is given, the log takes them all.
func (q *activityQuery) fields() []struct{ name, value string } {
	return []struct{ name, value string }{
		{"correlationId", q.correlation}, {"resourceGroupName", q.group}, {"resourceId", q.resource}, {"resourceProvider", q.namespace},
		{"caller", q.caller}, {"status", q.statusCode},
	}
}

// filter is the $filter for the query. Times without the other end are an offset away.
func (q *activityQuery) filter(now time.Time) (string, error) {
	read := func(name, text string) (time.Time, error) {
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateOnly} {
			if at, err := time.Parse(layout, text); err == nil {
				return at, nil
			}
		}
		return time.Time{}, usageError{fmt.Errorf("--%s %q is no time such as 2026-11-26T12:00:00Z", name, text)}
	}
	var start, end time.Time
	var err error
	if q.start != "" {
		if start, err = read("start-time", q.start); err != nil {
			return "", err
		}
	}
	switch {
	case q.end != "":
		if end, err = read("end-time", q.end); err != nil {
			return "", err
		}
	case q.start != "":
		end = start.Add(q.offset)
	default:
		end = now
	}
	if q.start == "" {
		start = end.Add(-q.offset)
	}
	if start.After(end) {
		return "", usageError{errors.New("--start-time is after --end-time")}
	}
	filter := fmt.Sprintf("eventTimestamp ge '%s' and eventTimestamp le '%s'", start.UTC().Format(time.RFC3339Nano), end.UTC().Format(time.RFC3339Nano))
	for _, field := range q.fields() {
		if strings.Contains(field.value, "'") {
			return "", usageError{fmt.Errorf("%q has a quotation mark, which no %s has", field.value, field.name)}
		}
		if field.value != "" {
			filter += fmt.Sprintf(" and %s eq '%s'", field.name, field.value)
		}
	}
	return filter, nil
}

func (s *session) activityList() *cobra.Command {
	var query activityQuery
	command := s.verb("list", "List events of the activity log, the newest first", func(ctx context.Context, c *clients) error {
		// The server's clock may be a little ahead of this one.
		filter, err := query.filter(time.Now().Add(time.Minute))
		if err != nil {
			return err
		}
		asked := c.of(http.MethodGet, activityVersion, "providers", "Microsoft.Insights", "eventtypes", "management", "values")
		asked.query = map[string]string{"$filter": filter}
		found, err := listSome[map[string]any](ctx, c, asked, query.most)
		if err != nil {
			return err
		}
		for i := range found {
			addActivityColumns(found[i])
		}
		return s.print(found, activityColumns)
	})
	flags := command.Flags()
	flags.StringVar(&query.start, "start-time", "", "when it begins; --offset before the end if not given")
	flags.StringVar(&query.end, "end-time", "", "when it ends; --offset after the start, or now, if not given")
	flags.DurationVar(&query.offset, "offset", 6*time.Hour, "how long it is")
	flags.StringVar(&query.correlation, "correlation-id", "", "what came of one action")
	flags.StringVarP(&query.group, "resource-group", "g", "", "in a resource group")
	flags.StringVar(&query.resource, "resource-id", "", "on a resource")
	flags.StringVar(&query.namespace, "namespace", "", "on resources of a provider, such as Microsoft.ContainerService")
	flags.StringVar(&query.caller, "caller", "", "by an application, a user or a part of Berth such as berth/support")
	flags.StringVar(&query.statusCode, "status", "", "with a status: Started, Accepted, Succeeded, Failed, Canceled or Active")
	flags.IntVar(&query.most, "max-events", 50, "how many events at most")
	offer(command, "status", "Started", "Accepted", "Succeeded", "Failed", "Canceled", "Active")
	return command
}

// addActivityColumns adds to an event what a table shows of it.
func addActivityColumns(event map[string]any) {
	at, _, _ := strings.Cut(textAt(event, "eventTimestamp"), ".")
	event["time"] = strings.TrimSuffix(at, "Z") + "Z"
	event["operation"] = textAt(event, "operationName.value")
	event["statusText"] = textAt(event, "status.value")
	id := textAt(event, "resourceId")
	event["resource"] = id[strings.LastIndex(id, "/")+1:]
	event["message"] = textAt(event, "description")
	if code := textAt(event, "properties.errorCode"); code != "" {
		event["message"] = code
	}
}
