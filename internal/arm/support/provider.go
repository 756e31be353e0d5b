// Package support serves Microsoft.Support: the problems that tickets can be about,
// tickets and what is said on them. A ticket is answered when it is made: package triage
// decides from what the ticket says and what is found in the cluster (X4).
package support

import (
	"net/http"
	"slices"
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
	consentType        = ticketType + "/accessConsent"
	accessType         = ticketType + "/accesses"
	requestType        = accessType + "/requests"
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
	consentPath         = ticketPath + "/accessConsent"
	accessesPath        = ticketPath + "/accesses"
	accessPath          = accessesPath + "/{access}"
)

// Limits of calls. Making or asking anew looks into a cluster.
var (
	reads  = &arm.Limit{Handler: "SupportHandler.GET", Burst: 60, Every: time.Second, Scope: arm.PerSubscription}
	writes = &arm.Limit{Handler: "SupportHandler.PUT", Burst: 20, Every: 10 * time.Second, Scope: arm.PerSubscription}
	// What support does takes nothing from the customer, and nothing keeps a customer from
	// ending an access.
	asks        = &arm.Limit{Handler: "SupportAccessHandler.PUT", Burst: 30, Every: 5 * time.Second, Scope: arm.PerSubscription}
	endings     = &arm.Limit{Handler: "SupportAccessHandler.POST", Burst: 60, Every: time.Second, Scope: arm.PerSubscription}
	withdrawals = &arm.Limit{Handler: "SupportHandler.DELETE", Burst: 60, Every: time.Second, Scope: arm.PerSubscription}
)

type provider struct{ *arm.Server }

// New is the provider Microsoft.Support.
func New(s *arm.Server) arm.Provider {
	p := provider{s}
	get, put, post, both := http.MethodGet, http.MethodPut, http.MethodPost, arm.CustomersAndEngineers
	return arm.Provider{
		Namespace: namespace, Versions: versions, DefaultLimit: reads,
		Types: []arm.ResourceType{{Name: "services"}, {Name: "services/problemClassifications"}, {Name: "supportTickets"}, {Name: "supportTickets/communications"}, {Name: "supportTickets/accesses"}, {Name: "checkNameAvailability"}},
		Routes: slices.Concat([]arm.Route{
			{Method: get, Path: servicesPath, Type: "services", Callers: both, Handle: p.listServices},
			{Method: get, Path: servicesPath + "/{service}", Type: "services", Callers: both, Handle: p.getService},
			{Method: get, Path: classificationsPath, Type: "services/problemClassifications", Callers: both, Handle: p.listClassifications},
			{Method: get, Path: classificationsPath + "/{classification}", Type: "services/problemClassifications", Callers: both, Handle: p.getClassification},
			{Method: post, Path: subscriptionPath + "/checkNameAvailability", Type: "checkNameAvailability", Reads: true, Unlogged: true, Handle: p.checkTicketName},
			{Method: get, Path: ticketsPath, Type: "supportTickets", Callers: both, Handle: p.listTickets},
			{Method: get, Path: ticketPath, Type: "supportTickets", Callers: both, Handle: p.getTicket},
			{Method: put, Path: ticketPath, Type: "supportTickets", Limit: writes, WhileSuspended: true, Handle: p.putTicket},
			{Method: http.MethodPatch, Path: ticketPath, Type: "supportTickets", Limit: writes, WhileSuspended: true, Refine: freeEndings, Handle: p.patchTicket},
			{Method: post, Path: ticketPath + "/checkNameAvailability", Type: "supportTickets", Reads: true, Unlogged: true, Handle: p.checkCommunicationName},
			{Method: get, Path: ticketPath + "/triage", Type: "supportTickets", Callers: both, Handle: p.getTriage},
			{Method: post, Path: ticketPath + "/triage", Type: "supportTickets", Limit: writes, WhileSuspended: true, Handle: p.askTriage},
			{Method: get, Path: communicationsPath, Type: "supportTickets/communications", Callers: both, Handle: p.listCommunications},
			{Method: get, Path: communicationsPath + "/{communication}", Type: "supportTickets/communications", Callers: both, Handle: p.getCommunication},
			{Method: put, Path: communicationsPath + "/{communication}", Type: "supportTickets/communications", Limit: writes, WhileSuspended: true, Callers: both, Refine: ownLimit, Handle: p.putCommunication},
		}, p.accessRoutes()),
	}
}

// freeEndings lets nothing stand in the way of a PATCH that ends what support may do, as
// nothing does in the way of a DELETE of the consent (C7).
func freeEndings(r *arm.Request, route *arm.Route) {
	var body updateBody
	if r.Decode(&body) == nil && body.onlyEnds() {
		route.Limit, route.PassesLocks = withdrawals, true
	}
}

// ownLimit counts what support says apart from what the customer says.
func ownLimit(r *arm.Request, route *arm.Route) {
	if r.Caller.Engineer {
		route.Limit = asks
	}
}

// accessRoutes are those of just-in-time access (C7): consent is the customer's, an
// access the engineer's, and both may end it and read what was done.
func (p provider) accessRoutes() []arm.Route {
	get, put, post, both := http.MethodGet, http.MethodPut, http.MethodPost, arm.CustomersAndEngineers
	const consents, accesses = "supportTickets/accessConsent", "supportTickets/accesses"
	return []arm.Route{
		{Method: get, Path: consentPath, Type: consents, Callers: both, Handle: p.getConsent},
		{Method: put, Path: consentPath, Type: consents, Limit: writes, WhileSuspended: true, Handle: p.putConsent},
		{Method: http.MethodDelete, Path: consentPath, Type: consents, Limit: withdrawals, WhileSuspended: true, PassesLocks: true, Handle: p.deleteConsent},
		{Method: get, Path: accessesPath, Type: accesses, Callers: both, Handle: p.listAccesses},
		{Method: get, Path: accessPath, Type: accesses, Callers: both, Handle: p.getAccess},
		{Method: put, Path: accessPath, Type: accesses, Limit: asks, WhileSuspended: true, Callers: arm.Engineers, Handle: p.putAccess},
		{Method: post, Path: accessPath + "/revoke", Type: accesses, Limit: endings, WhileSuspended: true, PassesLocks: true, Callers: both, Handle: p.revokeAccess},
		{Method: post, Path: accessPath + "/listCredentials", Type: accesses, Limit: asks, WhileSuspended: true, Callers: arm.Engineers, Handle: p.accessCredentials},
		{Method: get, Path: accessPath + "/requests", Type: accesses + "/requests", Callers: both, Handle: p.listAccessRequests},
	}
}
