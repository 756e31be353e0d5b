package clause

// Parts is the whole policy, in its order.
func Parts() []Part {
	return []Part{
		{"A. What the service manages", managed()},
		{"B. Shared responsibility", shared()},
		{"C. In scope of support", inScope()},
		{"D. Out of scope of support", outOfScope()},
		{"E, F. Agent nodes: the service's part, the customer's part", nodes()},
		{"G. Customising nodes", customising()},
		{"H, I. Security, access, network", security()},
		{"J. Stopped, deallocated, not ready", clocks()},
		{"K to N. Features, upstream, releases", releases()},
		{"Beyond AKS", beyond()},
	}
}

// Where many clauses lie.
const (
	realCluster   = "test/e2e/berth_test.go:TestBerth"
	addonGoldens  = "internal/addon/render_test.go:TestGolden"
	supportTable  = "internal/policy/support/table.go:table"
	everyRow      = "internal/policy/support/decide_test.go:TestEveryRow"
	supportPolicy = "internal/controller/test/support_test.go:TestSupportPolicy"
	lifecycle     = "internal/controller/test/lifecycle_test.go:TestLifecycle"
	ticketTable   = "internal/policy/triage/table.go:table"
	ticketCases   = "internal/policy/triage/triage_test.go:TestCases"
	ticketWorst   = "internal/policy/triage/triage_test.go:TestMoreTamperingIsNeverBetter"
	inspected     = "internal/inspect/reader.go:Inspect"
	flawTable     = "internal/policy/vulnerability/table.go:table"
	flawCases     = "internal/policy/vulnerability/decide_test.go:TestCases"
	noticeMatch   = "internal/policy/notice/match.go:Match"
	noticeCases   = "internal/policy/notice/notice_test.go:TestMatch"
	adviser       = "internal/controller/advisory/controller.go:announce"
	advised       = "internal/controller/test/advisory_test.go:TestAdvisories"
	ticketFound   = "internal/controller/test/ticket_test.go:TestTicketEvidence"
	accessRights  = "internal/policy/access/rights.go:rights"
	accessFront   = "internal/supportaccess/front.go:judge"
	accessHeld    = "internal/controller/test/supportaccess_test.go:TestSupportAccess"
	iaasView      = "internal/arm/compute/provider.go:New"
	iaasLife      = "internal/controller/test/iaas_test.go:TestIaaS"
	realLogin     = "internal/node/ssh_real_test.go:TestARealLogin"
	iaasAz        = "test/clients/azvmss_test.go:TestAzVMSS"
	eventOf       = "internal/policy/event/cloudevent.go:Of"
	courierSends  = "internal/controller/courier/courier.go:Reconcile"
	eventsArrive  = "internal/controller/test/events_test.go:TestEvents"
	eventsKept    = "internal/controller/test/events_test.go:TestCrashDuringEvents"
	waveTable     = "internal/policy/rollout/decide.go:rolloutTable"
	waves         = "internal/controller/test/rollout_test.go:TestRolloutInWaves"
	scenarios     = "test/scenarios/scenarios_test.go:TestScenarios"
	realTamper    = "test/e2e/long/policy_test.go:TestSupportPolicy"
	realClocks    = "test/e2e/long/policy_clocks_test.go:TestSupportClocks"
	realWaves     = "test/e2e/long/rollout_test.go:TestRollout"
	realEtcd      = "test/e2e/long/etcd_test.go:TestEtcd"
)

func at(refs ...string) []string { return refs }

func managed() []Clause {
	return []Clause{
		{ID: "A1", Short: "The control plane is fully managed; the customer has few knobs.", Status: Held,
			Code: at("internal/controlplane/render.go:Workloads"), Tests: at(lifecycle, realCluster)},
		{ID: "A2", Short: "API servers and kubelets are managed and watched.", Status: Held,
			Code:  at("internal/controller/cluster/readiness.go:readiness", "internal/node/supervise/service.go:Service"),
			Tests: at("internal/node/supervise/supervise_test.go:TestAHungProcessIsReplaced", realCluster)},
		{ID: "A3", Short: "etcd is managed.", Status: Held,
			Code:  at("internal/controller/cluster/recovery.go:recovery", "internal/policy/replicas.go:replicasRules", "internal/policy/space.go:spaceRules", "internal/policy/corrupt.go:corruptRules"),
			Tests: at("internal/policy/replicas_test.go:TestReplicasPhases", "internal/policy/corrupt_test.go:TestCorruptRulesHoldEverywhere", "internal/controller/space/space_test.go:TestHistoryThatFillsEtcdGoesOnceItIsBackedUp", "test/e2e/long/tier_test.go:TestTiers", realEtcd, realCluster)},
		{ID: "A4", Short: "Cluster DNS is managed.", Status: Held, Code: at("internal/addon/coredns.go:coreDNS"), Tests: at(addonGoldens, realCluster)},
		{ID: "A5", Short: "kube-proxy and networking are managed, except with the customer's own CNI.", Status: Held,
			Code: at("internal/addon/kubeproxy.go:kubeProxy", "internal/addon/networkagent.go:networkAgent"), Tests: at("internal/addon/render_test.go:TestWhatDepends", realCluster)},
		{ID: "A6", Short: "Every add-on and system component is managed.", Status: Held,
			Code: at("internal/controller/addon/addon.go:applyAll", "internal/controller/addon/readiness.go:missing"), Tests: at("internal/addon/render_test.go:TestEveryObjectIsLabelled", waves, realCluster, realWaves)},
		{ID: "A7", Short: "Customers cannot change managed components: it is refused or put back.", Status: Held,
			Code:  at("internal/controller/addon/putback.go:bring", "internal/addon/protection.go:protection"),
			Tests: at("internal/controller/test/putback_test.go:TestManagedComponents", realCluster, realTamper)},
		{ID: "A8", Short: "Responsibility is shared: some acts need the customer.", Status: Held,
			Code: at(supportTable, ticketTable), Tests: at(everyRow, ticketCases)},
	}
}

func shared() []Clause {
	return []Clause{
		{ID: "B1", Short: "The customer defines the agent nodes; their workloads run there.", Status: Held,
			Code: at("internal/policy/agentpool.go:validatePool"), Tests: at("internal/policy/agentpool_test.go:TestValidatePool", realCluster)},
		{ID: "B2", Short: "Support cannot reach a node without the customer's authorisation.", Status: Held,
			Code:  at("internal/policy/triage/found.go:noConsent", accessRights, accessFront, "internal/arm/compute/runcommand.go:runCommand"),
			Tests: at(ticketCases, "internal/policy/access/access_test.go:TestRights", accessHeld, scenarios, realCluster)},
		{ID: "B3", Short: "A change of nodes through the IaaS APIs makes the cluster unsupportable.", Status: Held,
			Code: at("internal/controller/machine/instance.go:noteInstance", "internal/policy/support/instances.go:machinesOff", supportTable, ticketTable), Tests: at(iaasLife, everyRow, ticketCases, ticketWorst, realTamper)},
		{ID: "B4", Short: "Customers may add tags and labels; changing the system's metadata makes the cluster unsupported.", Status: InPart,
			Code:    at("internal/controller/machine/change.go:changedBy", "internal/policy/systemtags.go:ChangedTags", "internal/controller/cluster/nodegroup.go:tagNodeGroup", supportTable),
			Tests:   at("internal/controller/machine/change_test.go:TestChangedBy", "internal/policy/instance_test.go:TestChangedTags", supportPolicy, iaasLife, realTamper),
			Missing: "The system's labels on nodes and its tags on the node resource group and the scale sets count, and its own record on nodes; a label changed while a process of Berth is between two steps does not, and who removed one is not always known."},
	}
}

func inScope() []Clause {
	return []Clause{
		{ID: "C1", Short: "Connectivity to every Kubernetes component of the service.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "C2", Short: "Management, uptime and operation of the control plane.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "C3", Short: "etcd is backed up every 30 minutes; nobody reaches the backups.", Status: Held,
			Code:  at("internal/policy/backup.go:BackedUp", "internal/controller/cluster/recovery.go:beginRecovery"),
			Tests: at("internal/policy/backup_test.go:TestBackedUp", "internal/backup/recorder_test.go:TestRecordedIsRecovered", realCluster, realEtcd)},
		{ID: "C4", Short: "Integration points: load balancers, volumes, networking.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "C5", Short: "Questions about customising control plane components.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "C6", Short: "Networking problems, except with the customer's own CNI.", Status: Held, Code: at(ticketTable, "internal/policy/triage/observe.go:Observe"), Tests: at(ticketCases, "internal/policy/triage/observe_test.go:TestObserve")},
		{ID: "C7", Short: "Support acts with consent, under aks-service, just in time.", Status: Held,
			Code: at(ticketTable, "internal/policy/access/decide.go:table", accessRights, "internal/controller/supportaccess/rights.go:look", "internal/addon/protection.go:protection"),
			Tests: at(ticketCases, "internal/policy/access/access_test.go:TestEnds", "internal/policy/access/access_test.go:TestRoleIsBounded", "internal/supportaccess/front_test.go:TestTheCustomersInKubeSystem", accessHeld,
				"internal/controller/test/accesscrash_test.go:TestCrashDuringSupportAccess", realCluster)},
	}
}

func outOfScope() []Clause {
	return []Clause{
		{ID: "D1", Short: "How-to questions on Kubernetes.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "D2", Short: "Third-party open source: best effort.", Status: Held, Code: at(ticketTable, "internal/policy/triage/component.go:components"), Tests: at(ticketCases, "internal/policy/triage/triage_test.go:TestNamed")},
		{ID: "D3", Short: "Third-party closed software.", Status: Held, Code: at(ticketTable, "internal/policy/triage/component.go:components"), Tests: at(ticketCases, "internal/policy/triage/triage_test.go:TestNamed")},
		{ID: "D4", Short: "The customer's applications.", Status: Held,
			Code: at(ticketTable, "internal/inspect/webhooks.go:webhooks", "internal/policy/support/webhooks.go:webhooksOnSystem", "internal/inspect/systemhooks.go:SystemWebhooks"),
			Tests: at(ticketCases, "internal/inspect/inspect_test.go:TestWebhooksThatBlock", ticketFound, "internal/inspect/systemhooks_test.go:TestWhatWebhooksHold",
				"internal/controller/test/webhook_test.go:TestWebhookOnSystem", realTamper)},
		{ID: "D5", Short: "Certificates of applications.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "D6", Short: "Network customisation beyond what is documented.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "D7", Short: "The customer's own CNI.", Status: Held,
			Code: at("internal/addon/networkagent.go:networkAgent", ticketTable), Tests: at("internal/addon/render_test.go:TestWhatDepends", ticketCases)},
		{ID: "D8", Short: "Network policies that the service does not manage.", Status: Held, Code: at(ticketTable, inspected), Tests: at(ticketCases, "internal/inspect/inspect_test.go:TestDaemonSetsOnIllNodes")},
		{ID: "D9", Short: "Ingress controllers that the service does not manage.", Status: Held, Code: at(ticketTable, inspected), Tests: at(ticketCases, "internal/inspect/inspect_test.go:TestIngressClasses", "internal/arm/support/evidence_test.go:TestEvidenceOfTickets", ticketFound)},
		{ID: "D10", Short: "DaemonSets and scripts that customise nodes.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "D11", Short: "Standby and proactive help.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
		{ID: "D12", Short: "CVEs whose fix is under 30 days old.", Status: Held,
			Code: at(ticketTable, flawTable), Tests: at(ticketCases, flawCases, "internal/policy/vulnerability/decide_test.go:TestWhatIsOwedIsOwedOn")},
		{ID: "D13", Short: "Bespoke code and scripts.", Status: Held, Code: at(ticketTable), Tests: at(ticketCases)},
	}
}

func nodes() []Clause {
	return []Clause{
		{ID: "E1", Short: "The base OS image carries what is needed.", Status: Held, Code: at("internal/image/nodecommand.go:NewNodeImageCommand"),
			Tests: at("internal/node/integration_test.go:TestAMachineBootsRunsAPodAndStops", realCluster)},
		{ID: "E2", Short: "Nodes receive OS patches automatically.", Status: Held,
			Code: at("internal/policy/channel.go:UpgradesNodeImages", "internal/controller/autoupgrade/decide.go:obstacle", "internal/node/patcher.go:patch"),
			Tests: at("internal/controller/test/autoupgrade_test.go:TestAutoUpgrade", "internal/controller/autoupgrade/decide_test.go:TestDecideNodeImages", "test/e2e/autoupgrade_test.go:TestAutoUpgrade",
				"internal/node/patch_real_test.go:TestANodeImagePatchesItself", "internal/controller/test/unmanaged_test.go:TestUnmanagedNodes")},
		{ID: "E3", Short: "Components on nodes are fixed automatically.", Status: Held,
			Code: at("internal/node/services.go:services", "internal/node/registered.go:checkRegistered", "internal/network/health.go:answers"),
			Tests: at("internal/node/supervise/supervise_test.go:TestWhatDiesIsStartedAgainAndItsLinesAreKept", "internal/node/registered_test.go:TestAKubeletWhoseNodeWasDeletedIsReplaced",
				"internal/network/health_test.go:TestOnlyAHungAgentIsStartedAgain", realCluster)},
		{ID: "E4", Short: "A node that is not working has components or itself restarted.", Status: Held,
			Code:  at("internal/node/supervise/service.go:Service", "internal/policy/repair.go:Repair"),
			Tests: at("internal/policy/repair_test.go:TestRepairClimbsTheLadder", "internal/controller/test/repair_test.go:TestCrashDuringRepair", realCluster)},
		{ID: "F1", Short: "The customer keeps nodes current; images older than 90 days are out of support.", Status: InPart,
			Code: at(supportTable, "internal/release/nodeimage.go:NodeImageDay"), Tests: at(everyRow, "internal/policy/support/decide_test.go:TestStates"),
			Missing: "New images come when the operator builds them, not every week by themselves."},
		{ID: "F2", Short: "Node image upgrade by hand.", Status: Held, Code: at("internal/arm/containerservice/nodeimage.go:upgradeNodeImage"),
			Tests: at("internal/controller/test/upgrade_test.go:TestPoolUpgrade", "test/e2e/poolupgrade_test.go:TestPoolUpgrade")},
		{ID: "F3", Short: "Node image upgrade automatically.", Status: Held, Code: at("internal/controller/autoupgrade/work.go:imageWork", "internal/controller/autoupgrade/gates.go:refusal"),
			Tests: at("internal/controller/test/autoupgrade_test.go:TestAutoUpgrade", "internal/controller/test/autoupgrade_test.go:TestAutoUpgradeMeetsABudget", "test/e2e/autoupgrade_test.go:TestAutoUpgrade")},
		{ID: "F4", Short: "The customer upgrades under the supported-versions policy.", Status: Held,
			Code:  at("internal/release/state.go:StateAt", "internal/release/keep.go:KeepReleases", "internal/policy/support.go:SupportOf", supportTable),
			Tests: at("internal/release/state_test.go:TestStates", "internal/release/keep_test.go:TestKeepReleases", "internal/policy/support_test.go:TestSupportOf", everyRow)},
	}
}

func customising() []Clause {
	return []Clause{
		{ID: "G1", Short: "Nodes appear as IaaS resources in a resource group of their own.", Status: Held,
			Code:  at("internal/controller/cluster/nodegroup.go:nodeGroupOf", iaasView, "internal/policy/instance.go:instanceRules", "internal/arm/denied.go:checkDenied", "internal/policy/lock.go:nodeGroups"),
			Tests: at(scenarios, iaasAz, iaasLife, realCluster, "internal/controller/test/iaas_test.go:TestCrashDuringIaaS", "internal/policy/instance_test.go:TestInstanceActions", "internal/policy/lock_test.go:TestLocksRefuse")},
		{ID: "G2", Short: "What was not changed through the API does not outlive an upgrade, scale, update or reboot.", Status: Held,
			Code: at("internal/controller/machine/reimage.go:labelUpgradeStatus", "internal/controller/agentpool/instances.go:instances", "internal/node/inventory.go:takeInventory", "internal/policy/support/instances.go:filesChanged", "internal/node/kept.go:settle"),
			Tests: at("test/e2e/poolupgrade_test.go:TestPoolUpgrade", iaasLife, "internal/node/runcommand_test.go:TestScriptsTellWhatTheyChange", "internal/node/kept_test.go:TestSettleTellsWhatNobodySaw",
				"internal/controller/machine/runcommand_test.go:TestChangesOfScriptsThatNobodySawEnd", "internal/controller/machine/reach_test.go:TestReaches", realLogin, realTamper)},
		{ID: "G3", Short: "Changing node extensions is forbidden.", Status: Held,
			Code: at("internal/arm/compute/extensions.go:refuseExtension", ticketTable), Tests: at(scenarios, ticketCases, realTamper)},
		{ID: "G4", Short: "Changing the IaaS resources of a pool is unsupported.", Status: Held,
			Code:  at("internal/controller/agentpool/instances.go:instances", "internal/arm/compute/change.go:compare", "internal/policy/support/instances.go:machinesRemoved", ticketTable),
			Tests: at(iaasLife, scenarios, everyRow, ticketCases, realTamper)},
		{ID: "G5", Short: "DaemonSets are the way to tune nodes.", Status: Held, Code: at("internal/policy/support/evidence.go:Evidence"), Tests: at(supportPolicy, realCluster, realTamper)},
		{ID: "G6", Short: "A node that such a DaemonSet made unavailable is the customer's.", Status: Held, Code: at(ticketTable, "internal/policy/triage/evidence.go:suspect", inspected), Tests: at(ticketCases, "internal/inspect/inspect_test.go:TestDaemonSetsOnIllNodes", ticketFound, realTamper)},
	}
}

func security() []Clause {
	return []Clause{
		{ID: "H1", Short: "A flaw in a managed component is patched on every cluster, with guidance.", Status: Held,
			Code: at("internal/controller/addon/addon.go:applyAll", waveTable, "internal/policy/rollout/cluster.go:clusterTable", "internal/controller/rollout/look.go:look",
				noticeMatch, adviser, "internal/arm/containerservice/notices.go:listAdvisories", "internal/arm/containerservice/rollouts.go:resumeRollout"),
			Tests: at("internal/controller/test/putback_test.go:TestManagedComponents", "internal/controller/test/advisory_test.go:TestPatchReachesStoppedCluster", waves,
				"internal/policy/rollout/decide_test.go:TestRollout", "internal/policy/rollout/decide_test.go:TestRolloutsOfAnyFleet", "internal/cli/rollout_test.go:TestRolloutsAreShown",
				noticeCases, advised, flawCases, realWaves)},
		{ID: "H2", Short: "A flaw in nodes is announced to the affected customers, with its impact and the steps to take.", Status: Held,
			Code:  at(noticeMatch, adviser, "internal/policy/notice/advisory.go:Advise", "internal/arm/containerservice/notices.go:listAdvisories", courierSends),
			Tests: at(noticeCases, advised, eventsArrive, "internal/policy/notice/notice_test.go:TestAdvise", "internal/cli/notice_test.go:TestNoticesAreShown")},
		{ID: "I1", Short: "Node login is possible and discouraged.", Status: Held,
			Code: at(ticketTable, "internal/node/ssh.go:prepareSSH", "internal/node/logins.go:watchLogins"), Tests: at(ticketCases, realLogin, "internal/node/logins_test.go:TestLoginsAreTold", realTamper)},
		{ID: "I2", Short: "Security groups can be customised on own subnets only.", Status: InPart,
			Code: at("internal/controlplane/policy.go:policies"), Tests: at("internal/controlplane/policy_test.go:TestTenantBoundary"),
			Missing: "What managed networks let through is fixed; there are no subnets of customers' own yet, which are refused by name."},
		{ID: "I3", Short: "Nodes need egress to a documented list of endpoints.", Status: Held,
			Code:  at("internal/policy/egress.go:EgressOf", "internal/controlplane/policy.go:fromMachines"),
			Tests: at("internal/controller/cluster/egress_test.go:TestEgressIsWhatMachinesMayReach", realCluster)},
		{ID: "I4", Short: "Ingress follows from what the customer deploys.", Status: OfPeople},
	}
}

func clocks() []Clause {
	return []Clause{
		{ID: "J1", Short: "A cluster can be stopped and started; its state is kept up to 12 months.", Status: Held,
			Code:  at("internal/controller/cluster/power.go:power", supportTable),
			Tests: at("internal/controller/test/power_test.go:TestStopAndStart", supportPolicy, realCluster)},
		{ID: "J2", Short: "After 12 months stopped, everything is deleted.", Status: Held,
			Code:  at(supportTable, "internal/controller/support/act.go:begin", "internal/controller/support/report.go:noticeOf", eventOf),
			Tests: at("internal/policy/support/clock_test.go:TestClocksNeitherSkipNorHurry", supportPolicy, eventsKept, realClocks)},
		{ID: "J3", Short: "A cluster whose nodes were all deallocated is stopped after 30 days.", Status: Held,
			Code: at("internal/policy/support/instances.go:allOff", supportTable), Tests: at(iaasLife, everyRow, "internal/policy/support/instances_test.go:TestDeallocatedClustersAreStopped", realClocks)},
		{ID: "J4", Short: "A cluster with no Ready node and no running machine is stopped after 30 days.", Status: Held,
			Code:  at(supportTable, "internal/controller/support/observe.go:machines"),
			Tests: at("internal/policy/support/clock_test.go:TestAClockRunsOutInTime", supportPolicy, realClocks)},
		{ID: "J5", Short: "A control plane outside the guidelines for 30 days may be archived.", Status: Held,
			Code:  at(supportTable, "internal/policy/archive.go:NextArchivePhase", "internal/controller/cluster/archive.go:archive", "internal/policy/power.go:powerRefusals"),
			Tests: at("internal/policy/archive_test.go:TestNextArchivePhase", "internal/policy/support/decide_test.go:TestArchiveClock", "internal/controller/test/archive_test.go:TestCrashArchive", realCluster)},
		{ID: "J6", Short: "Suspended subscription: clusters stop at once, deleted after 90 days.", Status: Held,
			Code:  at(supportTable, "internal/controller/support/act.go:begin", "internal/arm/auth.go:checkState"),
			Tests: at("internal/policy/support/decide_test.go:TestTheEarliestClockWins", "internal/arm/containerservice/quota_test.go:TestStatesOfSubscriptions", supportPolicy, realClocks)},
		{ID: "J7", Short: "Deleted subscription: clusters are deleted at once.", Status: Held,
			Code:  at(supportTable, "internal/controller/support/act.go:begin"),
			Tests: at("internal/policy/support/decide_test.go:TestStates", "internal/controller/test/support_test.go:TestDeletedSubscription", realClocks)},
	}
}

func releases() []Clause {
	return []Clause{
		{ID: "K1", Short: "Only stable and beta upstream features.", Status: Held,
			Code: at(ticketTable), Tests: at(ticketCases, realCluster)},
		{ID: "L1", Short: "New features come as previews behind feature flags.", Status: Held,
			Code:  at("internal/policy/feature.go:features", "internal/arm/features.go:RequireFeature", "internal/arm/resources/features.go:Features"),
			Tests: at("internal/policy/feature_test.go:TestPreviewsAreAskedFor", "test/clients/azfeature_test.go:TestAzFeature", "test/scenarios/scenarios_test.go:TestScenarios")},
		{ID: "L2", Short: "Previews are not for production.", Status: OfPeople},
		{ID: "L3", Short: "Support of previews is best effort.", Status: Held, Code: at(supportTable, ticketTable), Tests: at(everyRow, ticketCases)},
		{ID: "M1", Short: "An upstream bug behind a ticket is linked, and when a release will carry the fix.", Status: Held,
			Code:  at("internal/policy/notice/issue.go:Touching", "internal/arm/support/triage.go:knownIssues"),
			Tests: at("internal/policy/notice/notice_test.go:TestShippedIssues", "test/scenarios/scenarios_test.go:TestScenarios", "internal/cli/notice_test.go:TestNoticesAreShown")},
		{ID: "M2", Short: "Known issues are published: upstream links, workaround and how it outlives an upgrade, timelines.", Status: Held,
			Code:  at("internal/policy/notice/issue.go:All", "internal/arm/containerservice/notices.go:listIssues"),
			Tests: at("internal/policy/notice/notice_test.go:TestShippedIssues", "internal/policy/notice/notice_test.go:TestOwnIssues", "test/scenarios/scenarios_test.go:TestScenarios")},
		{ID: "M3", Short: "Bugs in the service's own components are fixed.", Status: OfPeople},
		{ID: "N1", Short: "Every release has notes.", Status: Held,
			Code:  at("internal/release/notes.go:Notes", "internal/image/publish.go:publish", "internal/release/nodeimage.go:ChangesSince", "internal/arm/containerservice/releasenotes.go:getRelease"),
			Tests: at("internal/release/notes_test.go:TestNotes", "internal/release/notes_test.go:TestNotesOfWhatIsBuiltAgain", "internal/release/nodeimage_test.go:TestChangesSince", "internal/cli/transcript_test.go:TestTranscriptsOnTheRealServer")},
		{ID: "N2", Short: "Previews and plans are visible on a roadmap.", Status: Held,
			Code: at("internal/release/roadmap.go:Roadmap", "internal/arm/containerservice/releasenotes.go:roadmap"), Tests: at("internal/release/notes_test.go:TestRoadmap", "internal/cli/notice_test.go:TestRoadmapIsShown")},
	}
}

func beyond() []Clause {
	return []Clause{
		{ID: "X1", Short: "Supportability is a visible state with reason, evidence, clock and the way back.", Status: InPart,
			Code:    at("internal/policy/support/decide.go:Decide", "internal/arm/containerservice/supportability.go:supportability", "internal/cli/support.go:clusterSupport"),
			Tests:   at(everyRow, "internal/policy/support/decide_test.go:TestWorseEvidenceIsNeverBetter", supportPolicy, "internal/cli/support_test.go:TestSupportIsShown", realTamper),
			Missing: "There is no portal."},
		{ID: "X2", Short: "Backups are proven; the recovery point is 60 s.", Status: Held, Code: at("internal/policy/proof.go:Proven", "internal/policy/backup.go:BackedUp"),
			Tests: at("internal/policy/proof_test.go:TestProven", "internal/controller/test/proof_test.go:TestProofOfBackups", realCluster)},
		{ID: "X3", Short: "A deleted cluster can be undeleted. Deletion protection.", Status: Held,
			Code: at("internal/controller/cluster/retain.go:retain", "internal/arm/containerservice/deleted.go:recoverDeleted",
				"internal/policy/lock.go:lockRules", "internal/admission/locks.go:refuseLocked"),
			Tests: at("internal/controller/test/deleted_test.go:TestDeletedClusterComesBack", "internal/policy/lock_test.go:TestLocksRefuse",
				"internal/admission/locks_test.go:TestWhatIsLockedIsNotDeleted", "test/clients/azlock_test.go:TestAzLock", realCluster)},
		{ID: "X4", Short: "Support scope is decided from evidence in the cluster.", Status: Held,
			Code: at("internal/policy/triage/decide.go:Decide", inspected, "internal/arm/support/triage.go:decide"),
			Tests: at(ticketCases, ticketWorst, "internal/policy/triage/triage_test.go:TestOutOfSupportIsNeverInScope", ticketFound,
				"internal/arm/support/evidence_test.go:TestEvidenceOfTickets", "test/scenarios/scenarios_test.go:TestScenarios", realTamper)},
		{ID: "X5", Short: "Every act under just-in-time access can be read back.", Status: Held,
			Code:  at("internal/supportaccess/record.go:records", "internal/arm/support/access.go:listAccessRequests"),
			Tests: at("internal/supportaccess/front_test.go:TestNothingGoesOnUnrecorded", "internal/supportaccess/front_test.go:TestRequestsAfterTheEndAreRecorded", accessHeld, realCluster)},
		{ID: "X6", Short: "CVE triage per cluster: a scanner's report in, whose turn each is out.", Status: Held,
			Code:  at(flawTable, "internal/policy/vulnerability/parse.go:Parse", "internal/arm/containerservice/vulnerabilities.go:triageCluster", "internal/cli/vulnerability.go:vulnerabilityTriage"),
			Tests: at(flawCases, "internal/policy/vulnerability/parse_test.go:TestParse", "test/scenarios/scenarios_test.go:TestScenarios", "internal/cli/transcript_test.go:TestTranscriptsOnTheRealServer")},
		{ID: "X7", Short: "Maintenance tells before and after.", Status: Held, Code: at("internal/arm/containerservice/maintenancebody.go:renderAutoUpgrades", "internal/controller/agentpool/news.go:tellRolling", eventOf, courierSends),
			Tests: at("internal/cli/autoupgrades_test.go:TestAutomaticUpgradesAreShown", "internal/controller/test/autoupgrade_test.go:TestAutoUpgrade", eventsArrive, eventsKept, "test/clients/events_test.go:TestPythonEventSubscription")},
		{ID: "X8", Short: "Auto-repair can keep evidence, and brakes when many nodes are ill.", Status: Held,
			Code:  at("internal/controller/machine/evidence.go:saveEvidence", "internal/policy/illness.go:RepairBarOf"),
			Tests: at("internal/policy/repair_test.go:TestRepairsAreSafe", "internal/policy/illness_test.go:TestRepairBars", realCluster)},
	}
}
