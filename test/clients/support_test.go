package clients

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/support/armsupport"

	"berth.dev/berth/internal/arm/armtest"
)

// TestSDKOpensATicket goes over the support desk as Azure's own client of 2020-04-01 sees it.
func TestSDKOpensATicket(t *testing.T) {
	w := armtest.New(t)
	ctx := t.Context()
	credential, options := login(t, w, armtest.TenantID)
	factory, err := armsupport.NewClientFactory(armtest.Subscription, credential, options)
	must(t, err)
	services, err := factory.NewServicesClient().NewListPager(nil).NextPage(ctx)
	must(t, err)
	service := services.Value[0]
	problem, err := factory.NewProblemClassificationsClient().Get(ctx, *service.Name, "kubernetes-how-to", nil)
	must(t, err)

	tickets := factory.NewTicketsClient()
	free, err := tickets.CheckNameAvailability(ctx, armsupport.CheckNameAvailabilityInput{Name: to.Ptr("t1"), Type: to.Ptr(armsupport.TypeMicrosoftSupportSupportTickets)}, nil)
	must(t, err)
	if !*free.NameAvailable {
		t.Errorf("t1 is taken: %s", *free.Message)
	}
	poller, err := tickets.BeginCreate(ctx, "t1", armsupport.TicketDetails{Properties: &armsupport.TicketDetailsProperties{
		ServiceID: service.ID, ProblemClassificationID: problem.ID, Title: to.Ptr("A question"), Description: to.Ptr("How do I write a Deployment?"),
		Severity: to.Ptr(armsupport.SeverityLevelMinimal), ProblemStartTime: to.Ptr(time.Now().UTC()),
		ContactDetails: &armsupport.ContactProfile{
			FirstName: to.Ptr("Ada"), LastName: to.Ptr("Lang"), PreferredContactMethod: to.Ptr(armsupport.PreferredContactMethodEmail),
			PrimaryEmailAddress: to.Ptr("ada@example.com"), PreferredTimeZone: to.Ptr("UTC"), Country: to.Ptr("DEU"), PreferredSupportLanguage: to.Ptr("en-us"),
		},
	}}, nil)
	must(t, err)
	made, err := poller.PollUntilDone(ctx, nil)
	must(t, err)
	if *made.Properties.Status != "Open" || *made.Properties.ProblemClassificationDisplayName != *problem.Properties.DisplayName || made.Properties.CreatedDate.IsZero() {
		t.Errorf("made %+v", made.Properties)
	}
	converse(t, factory.NewCommunicationsClient())

	closed, err := tickets.Update(ctx, "t1", armsupport.UpdateSupportTicket{Status: to.Ptr(armsupport.StatusClosed), Severity: to.Ptr(armsupport.SeverityLevelModerate)}, nil)
	must(t, err)
	page, err := tickets.NewListPager(&armsupport.TicketsClientListOptions{Filter: to.Ptr("Status eq 'Closed'")}).NextPage(ctx)
	must(t, err)
	if *closed.Properties.Status != "Closed" || len(page.Value) != 1 || *page.Value[0].Properties.Severity != armsupport.SeverityLevelModerate {
		t.Errorf("closed %+v, listed %d", closed.Properties, len(page.Value))
	}
	if _, err := tickets.Get(ctx, "t2", nil); code(err) != "ResourceNotFound" {
		t.Errorf("no ticket answers %v", err)
	}
}

// converse reads the service's answer and says something.
func converse(t *testing.T, communications *armsupport.CommunicationsClient) {
	t.Helper()
	poller, err := communications.BeginCreate(t.Context(), "t1", "m1", armsupport.CommunicationDetails{Properties: &armsupport.CommunicationDetailsProperties{
		Sender: to.Ptr("ada@example.com"), Subject: to.Ptr("Thanks"), Body: to.Ptr("I have read it"),
	}}, nil)
	must(t, err)
	_, err = poller.PollUntilDone(t.Context(), nil)
	must(t, err)
	page, err := communications.NewListPager("t1", nil).NextPage(t.Context())
	must(t, err)
	if len(page.Value) != 2 {
		t.Fatalf("%d messages", len(page.Value))
	}
	answer := page.Value[0].Properties
	if *answer.Sender != "Berth" || *answer.Subject != "Out of scope of support" || *answer.CommunicationDirection != armsupport.CommunicationDirectionInbound {
		t.Errorf("the answer: %+v", answer)
	}
}
