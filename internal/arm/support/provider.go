// Package support serves Microsoft.Support: the problems that tickets can be about,
// tickets and what is said on them. A ticket is answered when it is made: package triage
// decides from what the ticket says and what is found in the cluster (X4).
package support

import (
	"net/http"
	"time"

	"berth.dev/berth/internal/arm"
)

// namespace is the provider's name in every path.
const namespace = "Microsoft.Support"

// The types of resources, as their bodies name them.
const (
	serviceType        = namespace + "/services"
	classificationType = namespace + "/problemClassifications"
	ticketType         = namespace + "/supportTickets"
	communicationType  = namespace + "/communications"
	triageType         = ticketType + "/triage"
)

// consentVersion is the api-version from which on a ticket must say whether it consents
// to diagnosis; versions are all that are served.
const consentVersion = "2024-04-01"

var versions = []string{"2020-04-01", consentVersion}

const (
	servicesPath        = "/providers/" + namespace + "/services"
	classificationsPath = servicesPath + "/{service}/problemClassifications"
	subscriptionPath    = "/subscriptions/{subscription}/providers/" + namespace
	ticketsPath         = subscriptionPath + "/supportTickets"
	ticketPath          = ticketsPath + "/{ticket}"
	communicationsPath  = ticketPath + "/communications"
)

// Limits of calls. Making or asking anew looks into a cluster.
var (
	reads  = &arm.Limit{Handler: "SupportHandler.GET", Burst: 60, Every: time.Second, Scope: arm.PerSubscription}
	writes = &arm.Limit{Handler: "SupportHandler.PUT", Burst: 20, Every: 10 * time.Second, Scope: arm.PerSubscription}
)

type provider struct{ *arm.Server }

// New is the provider Microsoft.Support.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	get, put, post := http.MethodGet, http.MethodPut, http.MethodPost
	return arm.Provider{
		Namespace: namespace, Versions: versions, DefaultLimit: reads,
		Types: []arm.ResourceType{{Name: "services"}, {Name: "services/problemClassifications"}, {Name: "supportTickets"}, {Name: "supportTickets/communications"}, {Name: "checkNameAvailability"}},
		Routes: []arm.Route{
			{Method: get, Path: servicesPath, Type: "services", Handle: p.listServices},
			{Method: get, Path: servicesPath + "/{service}", Type: "services", Handle: p.getService},
			{Method: get, Path: classificationsPath, Type: "services/problemClassifications", Handle: p.listClassifications},
			{Method: get, Path: classificationsPath + "/{classification}", Type: "services/problemClassifications", Handle: p.getClassification},
			{Method: post, Path: subscriptionPath + "/checkNameAvailability", Type: "checkNameAvailability", Reads: true, Unlogged: true, Handle: p.checkTicketName},
			{Method: get, Path: ticketsPath, Type: "supportTickets", Handle: p.listTickets},
			{Method: get, Path: ticketPath, Type: "supportTickets", Handle: p.getTicket},
			{Method: put, Path: ticketPath, Type: "supportTickets", Limit: writes, WhileSuspended: true, Handle: p.putTicket},
			{Method: http.MethodPatch, Path: ticketPath, Type: "supportTickets", Limit: writes, WhileSuspended: true, Handle: p.patchTicket},
			{Method: post, Path: ticketPath + "/checkNameAvailability", Type: "supportTickets", Reads: true, Unlogged: true, Handle: p.checkCommunicationName},
			{Method: get, Path: ticketPath + "/triage", Type: "supportTickets", Handle: p.getTriage},
			{Method: post, Path: ticketPath + "/triage", Type: "supportTickets", Limit: writes, WhileSuspended: true, Handle: p.askTriage},
			{Method: get, Path: communicationsPath, Type: "supportTickets/communications", Handle: p.listCommunications},
			{Method: get, Path: communicationsPath + "/{communication}", Type: "supportTickets/communications", Handle: p.getCommunication},
			{Method: put, Path: communicationsPath + "/{communication}", Type: "supportTickets/communications", Limit: writes, WhileSuspended: true, Handle: p.putCommunication},
		},
	}
}
