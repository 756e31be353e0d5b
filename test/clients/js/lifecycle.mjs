// Takes a cluster through its life with Azure's JavaScript SDK, as a user of Berth
// writes it. It reads what `berth env` exports, and fails by an exception.

import assert from "node:assert/strict";
import { ContainerServiceClient } from "@azure/arm-containerservice";
import { ClientSecretCredential } from "@azure/identity";

const env = process.env;
const credential = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, env.AZURE_CLIENT_SECRET, {
  authorityHost: env.AZURE_AUTHORITY_HOST,
  disableInstanceDiscovery: true,
});
const client = new ContainerServiceClient(credential, env.AZURE_SUBSCRIPTION_ID, {
  endpoint: env.BERTH_ENDPOINT,
  credentials: { scopes: [env.BERTH_ENDPOINT + "/.default"] },
});
const clusters = client.managedClusters;

const made = await clusters.createOrUpdate("rg1", "c1", {
  location: "westus2",
  identity: { type: "SystemAssigned" },
  dnsPrefix: "c1",
  agentPoolProfiles: [{ name: "system", count: 1, mode: "System", vmSize: "Standard_D2s_v5" }],
});
assert.equal(made.provisioningState, "Succeeded");

const pool = await client.agentPools.createOrUpdate("rg1", "c1", "np2", {
  count: 2,
  mode: "User",
  vmSize: "Standard_D2s_v5",
});
assert.equal(pool.count, 2);

// What was read is sent back with one change.
const read = await clusters.get("rg1", "c1");
const changed = await clusters.createOrUpdate("rg1", "c1", { ...read, tags: { env: "test" } });
assert.deepEqual(changed.tags, { env: "test" });
assert.equal(changed.agentPoolProfiles.length, 2);

const names = [];
for await (const cluster of clusters.list()) names.push(cluster.name);
assert.deepEqual(names, ["c1"]);

const { kubeconfigs } = await clusters.listClusterUserCredentials("rg1", "c1");
assert.match(Buffer.from(kubeconfigs[0].value).toString(), /^apiVersion: v1/m);

await clusters.stop("rg1", "c1");
assert.equal((await clusters.get("rg1", "c1")).powerState.code, "Stopped");
await assert.rejects(clusters.stop("rg1", "c1"), { code: "OperationNotAllowed" });
await clusters.start("rg1", "c1");
assert.equal((await clusters.get("rg1", "c1")).powerState.code, "Running");

await clusters.delete("rg1", "c1");
await assert.rejects(clusters.get("rg1", "c1"), { statusCode: 404, code: "ResourceNotFound" });

const stranger = new ClientSecretCredential(env.AZURE_TENANT_ID, env.AZURE_CLIENT_ID, "wrong", {
  authorityHost: env.AZURE_AUTHORITY_HOST,
  disableInstanceDiscovery: true,
});
await assert.rejects(stranger.getToken(env.BERTH_ENDPOINT + "/.default"), /AADSTS7000215/);
