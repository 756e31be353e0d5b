package support

import (
	"context"
	"fmt"
	"strings"

	"berth.dev/berth/internal/arm"
	"berth.dev/berth/internal/policy/triage"
)

// The only service that tickets can be about.
const (
	serviceName  = "kubernetes-service"
	serviceTitle = "Kubernetes Service"
	serviceID    = servicesPath + "/" + serviceName
)

func serviceBody() map[string]any {
	return map[string]any{
		"id": serviceID, "name": serviceName, "type": serviceType,
		"properties": map[string]any{"displayName": serviceTitle, "resourceTypes": []string{"MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS"}},
	}
}

// classificationID is the ARM id of a problem classification.
func classificationID(topic triage.Topic) string {
	return serviceID + "/problemClassifications/" + string(topic)
}

func classificationBody(c triage.Classification) map[string]any {
	return map[string]any{
		"id": classificationID(c.Topic), "name": string(c.Topic), "type": classificationType,
		"properties": map[string]any{"displayName": c.Title},
	}
}

func (p provider) listServices(_ context.Context, r *arm.Request) (*arm.Response, error) {
	return p.Page(r, []arm.Item{{Key: serviceName, Body: serviceBody()}})
}

func checkService(name string) error {
	if strings.EqualFold(name, serviceName) {
		return nil
	}
	return arm.Errorf(404, "NotFound", "The service '%s' was not found. The services are listed at %s.", name, servicesPath)
}

func (p provider) getService(_ context.Context, r *arm.Request) (*arm.Response, error) {
	if err := checkService(r.Parameter("service")); err != nil {
		return nil, err
	}
	return arm.OK(serviceBody())
}

// listClassifications lists what tickets can be about, in the order of its names' keys.
func (p provider) listClassifications(_ context.Context, r *arm.Request) (*arm.Response, error) {
	if err := checkService(r.Parameter("service")); err != nil {
		return nil, err
	}
	var items []arm.Item
	for i, c := range triage.Topics() {
		items = append(items, arm.Item{Key: fmt.Sprintf("%03d", i), Body: classificationBody(c)})
	}
	return p.Page(r, items)
}

func (p provider) getClassification(_ context.Context, r *arm.Request) (*arm.Response, error) {
	if err := checkService(r.Parameter("service")); err != nil {
		return nil, err
	}
	found, ok := triage.Find(triage.Topic(strings.ToLower(r.Parameter("classification"))))
	if !ok {
		return nil, arm.Errorf(404, "NotFound", "The problem classification '%s' was not found. They are listed at %s/problemClassifications.", r.Parameter("classification"), serviceID)
	}
	return arm.OK(classificationBody(found))
}

// topicOf is the topic that an id names, without case.
func topicOf(id string) (triage.Topic, bool) {
	prefix := strings.ToLower(classificationID(""))
	name, ours := strings.CutPrefix(strings.ToLower(strings.TrimSpace(id)), prefix)
	_, known := triage.Find(triage.Topic(name))
	return triage.Topic(name), ours && known
}
