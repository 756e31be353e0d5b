package support

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"berth.dev/berth/api/v1beta1"
	"berth.dev/berth/internal/activity"
	"berth.dev/berth/internal/controller/apply"
	"berth.dev/berth/internal/policy/support"
)

// statusOwner is the field manager of status.support and of the condition Supported.
const statusOwner = "berth-support"

// report writes the status if it is news, and tells what has changed. What was decided
// on something older is refused as a conflict: a clock would be set back.
func (r *reconciler) report(ctx context.Context, o *observation, verdict support.Verdict) error {
	last := o.cluster.Status.Support
	news := r.versionNews(o, &verdict.Status)
	condition, changed := conditionOf(o, verdict.Status)
	if !changed && !support.News(last, verdict.Status, o.plan) {
		return nil
	}
	// A notice is in the log before it counts as given: it is never lost, and told once.
	for _, notice := range verdict.Notices {
		if err := r.events.Log.Tell(ctx, noticeOf(o.cluster, notice)); err != nil {
			return err
		}
		r.events.Show(o.cluster, corev1.EventTypeWarning, reasonNotice, "Support", noticeText(notice))
	}
	for _, one := range news {
		if err := r.events.Log.Tell(ctx, one); err != nil {
			return err
		}
	}
	err := apply.Status(ctx, r.client, o.cluster, statusOwner, &struct {
		Support    v1beta1.SupportStatus `json:"support"`
		Conditions []metav1.Condition    `json:"conditions"`
	}{verdict.Status, []metav1.Condition{condition}}, o.cluster.ResourceVersion)
	if err != nil {
		return err
	}
	r.tell(o.cluster, last, verdict)
	return nil
}

// conditionOf is the condition Supported, and whether it says something new.
func conditionOf(o *observation, status v1beta1.SupportStatus) (metav1.Condition, bool) {
	next := metav1.Condition{
		Type: v1beta1.ConditionSupported, Status: metav1.ConditionFalse, Reason: string(status.State), Message: support.Summary(status),
		ObservedGeneration: o.cluster.Generation, LastTransitionTime: metav1.NewTime(o.now.Truncate(time.Second)),
	}
	if status.State == v1beta1.SupportSupported {
		next.Status = metav1.ConditionTrue
	}
	last := meta.FindStatusCondition(o.cluster.Status.Conditions, next.Type)
	if last == nil {
		return next, true
	}
	if last.Status == next.Status {
		next.LastTransitionTime = last.LastTransitionTime
	}
	return next, *last != next
}

// tell records an event when a finding comes or goes.
func (r *reconciler) tell(cluster *v1beta1.ManagedCluster, last *v1beta1.SupportStatus, verdict support.Verdict) {
	if last == nil {
		last = &v1beta1.SupportStatus{}
	}
	for _, finding := range verdict.Status.Findings {
		if has(last.Findings, finding) {
			continue
		}
		kind := corev1.EventTypeWarning
		if finding.State == v1beta1.SupportSupported {
			kind = corev1.EventTypeNormal
		}
		r.events.Event(cluster, kind, finding.Reason, "Support", fmt.Sprintf("%s: %s. %s", finding.Clause, finding.Message, finding.WayBack))
	}
	for _, finding := range last.Findings {
		if !has(verdict.Status.Findings, finding) {
			r.events.Event(cluster, corev1.EventTypeNormal, finding.Reason+"Ended", "Support",
				fmt.Sprintf("%s does not apply any more; the cluster is %s", finding.Clause, verdict.Status.State))
		}
	}
}

// reasonNotice is the reason of what is told of a clock before it ends.
const reasonNotice = "SupportNotice"

func noticeText(notice support.Notice) string {
	finding := notice.Finding
	return fmt.Sprintf("%s: %s at %s. %s", finding.Clause, actWords[finding.Act], finding.Ends.UTC().Format(time.RFC3339), finding.WayBack)
}

// noticeOf is a notice in the activity log, which is the same however often it is decided.
func noticeOf(cluster *v1beta1.ManagedCluster, notice support.Notice) activity.Notice {
	finding := notice.Finding
	return activity.Notice{
		Caller: requester, Object: cluster,
		ActivityNotice: v1beta1.ActivityNotice{Reason: reasonNotice, Message: noticeText(notice), Warning: true},
		Occasion:       fmt.Sprint(finding.Clause, finding.Act, finding.Since.UTC().Format(time.RFC3339), notice.Lead),
	}
}

// actWords say what an act does.
var actWords = map[v1beta1.SupportAct]string{
	v1beta1.ActStop:    "the cluster will be stopped",
	v1beta1.ActArchive: "the control plane will be archived, so that only its backups are kept",
	v1beta1.ActDelete:  "the cluster will be deleted with all its resources",
}

func has(findings []v1beta1.SupportFinding, one v1beta1.SupportFinding) bool {
	return slices.ContainsFunc(findings, func(f v1beta1.SupportFinding) bool { return f.Clause == one.Clause && f.Reason == one.Reason })
}

// versionNews is what is told of versions, each once; the status keeps what was.
func (r *reconciler) versionNews(o *observation, next *v1beta1.SupportStatus) []activity.Notice {
	var told []string
	if last := o.cluster.Status.Support; last != nil {
		told = last.VersionNews
	}
	version := o.cluster.Status.CurrentKubernetesVersion
	if version == "" || r.Catalogue == nil {
		next.VersionNews = told
		return nil
	}
	news, after := support.VersionsOf(r.Catalogue, version, o.cluster.Spec.SupportPlan, told, o.now)
	next.VersionNews = after
	made := make([]activity.Notice, 0, len(news))
	for _, one := range news {
		made = append(made, activity.Notice{
			Caller: requester, Object: o.cluster, Occasion: one.Key,
			ActivityNotice: v1beta1.ActivityNotice{Reason: one.Reason, Message: one.Message, Data: one.Data, Warning: one.Warning},
		})
	}
	return made
}
