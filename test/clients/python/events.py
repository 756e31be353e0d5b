"""Has Azure's SDK for Python send what happens at a cluster and its group to a webhook."""

import sys

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.eventgrid import EventGridManagementClient
from azure.mgmt.eventgrid.models import (
    EventSubscription,
    EventSubscriptionFilter,
    EventSubscriptionUpdateParameters,
    RetryPolicy,
    WebHookEventSubscriptionDestination,
)

ENDPOINT, SUBSCRIPTION, HOOK = sys.argv[1:4]
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1"
CLUSTER = GROUP + "/providers/Microsoft.ContainerService/managedClusters/c1"


class Given:
    """A token that was got elsewhere: it comes on standard input."""

    def __init__(self):
        self.token = sys.stdin.readline().strip()

    def get_token(self, *_scopes, **_options):
        return AccessToken(self.token, 1 << 40)


def wanted(url, **more):
    return EventSubscription(destination=WebHookEventSubscriptionDestination(endpoint_url=url), **more)


def check(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, want {want!r}")


def refused(what, text, act):
    try:
        act()
    except HttpResponseError as error:
        if text not in str(error):
            sys.exit(f"{what}: {error}")
        return
    sys.exit(f"{what} was not refused")


def names(found):
    return sorted(one.name for one in found)


def main():
    api = EventGridManagementClient(Given(), SUBSCRIPTION, base_url=ENDPOINT, credential_scopes=[ENDPOINT + "/.default"]).event_subscriptions
    schema = {"event_delivery_schema": "CloudEventSchemaV1_0"}
    types = ["Microsoft.ContainerService.NodePoolRollingFailed", "Microsoft.ContainerService.ClusterSupportEnding"]
    made = api.begin_create_or_update(CLUSTER, "news", wanted(
        HOOK + "?code=secret", filter=EventSubscriptionFilter(included_event_types=types),
        retry_policy=RetryPolicy(max_delivery_attempts=5, event_time_to_live_in_minutes=60), labels=["ops"], **schema)).result()
    check("state", made.provisioning_state, "Succeeded")
    check("topic", made.topic, CLUSTER)
    check("endpoint", (made.destination.endpoint_base_url, made.destination.endpoint_url), (HOOK, None))
    api.begin_create_or_update(GROUP, "all-news", wanted(HOOK, **schema)).result()

    # What is read is changed and sent back, without the URL, as az does.
    made.filter.subject_ends_with = "c1"
    changed = api.begin_update(CLUSTER, "news", EventSubscriptionUpdateParameters(
        destination=made.destination, filter=made.filter, retry_policy=made.retry_policy, **schema)).result()
    check("update", (changed.filter.subject_ends_with, changed.filter.included_event_types, changed.labels), ("c1", types, ["ops"]))
    check("attempts", changed.retry_policy.max_delivery_attempts, 5)
    check("full URL", api.get_full_url(CLUSTER, "news").endpoint_url, HOOK + "?code=secret")
    check("attributes", api.get_delivery_attributes(CLUSTER, "news").value, [])

    check("of the cluster", names(api.list_by_resource("rg1", "Microsoft.ContainerService", "managedClusters", "c1", top=100)), ["news"])
    check("of the subscription", names(api.list_global_by_subscription(top=1)), ["all-news", "news"])
    check("of the group", names(api.list_global_by_resource_group("rg1")), ["all-news", "news"])
    check("of a location", names(api.list_regional_by_resource_group("rg1", "westus2")), ["news"])
    check("of another", names(api.list_regional_by_subscription("eastus")), [])

    refused("Event Grid's own schema", "EventGridSchema", lambda: api.begin_create_or_update(GROUP, "bad-one", wanted(HOOK)).result())
    refused("an endpoint inside", "Url validation", lambda: api.begin_create_or_update(GROUP, "bad-one", wanted("https://169.254.169.254/", **schema)).result())
    api.begin_delete(CLUSTER, "news").result()
    api.begin_delete(CLUSTER, "news").result()
    try:
        api.get(CLUSTER, "news")
    except ResourceNotFoundError:
        return
    sys.exit("it is still there")


main()
