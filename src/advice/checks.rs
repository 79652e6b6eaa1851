//! All checks, each with its rule, its reason and its source in Kubernetes.

use std::fmt;

/// One check.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name. It does not change.
    pub id: &'static str,
    /// The row of `docs/advice.md` to which it belongs.
    pub lever: Lever,
    /// How bad a finding usually is. A finding can be less severe, or more.
    pub severity: Severity,
    /// Whether it rests on measured delays of changes.
    pub is_measured: bool,
    /// When there is a finding.
    pub rule: &'static str,
    /// Why this matters.
    pub why: &'static str,
    /// Where Kubernetes defines the behaviour.
    pub source: &'static str,
}

/// What can be set to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lever {
    /// The readiness probe.
    ReadinessProbe,
    /// The liveness probe.
    LivenessProbe,
    /// The preStop hook, and the grace period.
    PreStop,
    /// minReadySeconds.
    MinReadySeconds,
    /// The strategy of a rollout.
    RollingUpdate,
    /// The PodDisruptionBudget.
    DisruptionBudget,
    /// The number of replicas, and what scales it.
    Autoscaling,
    /// Where pods are placed.
    Spreading,
    /// The EndpointSlice controller.
    EndpointController,
    /// kube-proxy, and the policies of a Service.
    LoadBalancing,
    /// The annotation with which advice is ignored.
    Annotation,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Note,
    /// Requests fail, or a drain hangs, under conditions that occur.
    Warning,
    /// Requests fail at each rollout or restart, or no drain gets through.
    Error,
}

// === impl Lever ===

impl Lever {
    /// The levers that need the workload's own object.
    pub const OF_WORKLOADS: [Self; 7] = [
        Self::ReadinessProbe,
        Self::LivenessProbe,
        Self::PreStop,
        Self::MinReadySeconds,
        Self::RollingUpdate,
        Self::DisruptionBudget,
        Self::Autoscaling,
    ];

    /// All levers.
    pub const ALL: [Self; 11] = [
        Self::ReadinessProbe,
        Self::LivenessProbe,
        Self::PreStop,
        Self::MinReadySeconds,
        Self::RollingUpdate,
        Self::DisruptionBudget,
        Self::Autoscaling,
        Self::Spreading,
        Self::EndpointController,
        Self::LoadBalancing,
        Self::Annotation,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadinessProbe => "readiness-probe",
            Self::LivenessProbe => "liveness-probe",
            Self::PreStop => "pre-stop",
            Self::MinReadySeconds => "min-ready-seconds",
            Self::RollingUpdate => "rolling-update",
            Self::DisruptionBudget => "pod-disruption-budget",
            Self::Autoscaling => "autoscaling",
            Self::Spreading => "spreading",
            Self::EndpointController => "endpoint-controller",
            Self::LoadBalancing => "load-balancing",
            Self::Annotation => "annotation",
        }
    }
}

impl fmt::Display for Lever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Severity ===

impl Severity {
    /// All, the least first.
    pub const ALL: [Self; 3] = [Self::Note, Self::Warning, Self::Error];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! checks {
    ($($name:ident = $id:literal, $lever:ident, $severity:ident, $measured:literal,
        $rule:literal, $why:literal, $source:literal;)*) => {
        $(
            #[doc = $rule]
            pub const $name: &Check = &Check {
                id: $id,
                lever: Lever::$lever,
                severity: Severity::$severity,
                is_measured: $measured,
                rule: $rule,
                why: $why,
                source: $source,
            };
        )*

        /// All checks, by lever.
        pub const CHECKS: &[&Check] = &[$($name),*];
    };
}

checks! {
    READINESS_MISSING = "readiness-probe-missing", ReadinessProbe, Error, false,
        "A container that serves a port of the Service has no readiness probe.",
        "Without a readiness probe a pod is ready as soon as its containers run, so it gets traffic before it can answer.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#types-of-probe";
    READINESS_DETECTION = "readiness-probe-slow-detection", ReadinessProbe, Note, true,
        "periodSeconds x failureThreshold is more than 10 s, and more than ten times what was measured for `unready`.",
        "Most of the time in which a broken pod still gets traffic is the probe's own, not the cluster's.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#configure-probes";
    READINESS_AS_LIVENESS = "readiness-probe-same-as-liveness", ReadinessProbe, Warning, false,
        "Both probes ask the same, and the liveness probe gives up no later than the readiness probe.",
        "A pod that is only overloaded is restarted instead of left alone, and its load moves to the others.",
        "https://kubernetes.io/docs/concepts/workloads/pods/probes/";
    READINESS_ON_SIGTERM = "readiness-probe-fails-on-sigterm", ReadinessProbe, Warning, false,
        "The preStop hook changes a file that the readiness probe reads, or calls something that is named after readiness.",
        "A pod that is being deleted leaves the endpoints anyway. When its probe fails, the endpoint's `serving` turns false as well. \
         kube-proxy sends to terminating endpoints only while they are `serving`, so when no endpoint is ready, connections are refused.",
        "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions";
    LIVENESS_MISSING = "liveness-probe-missing", LivenessProbe, Note, false,
        "A container that serves has no liveness probe.",
        "A process that hangs is not restarted. That is fine where it ends by itself when it cannot go on.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#when-should-you-use-a-liveness-probe";
    LIVENESS_EAGER = "liveness-probe-eager", LivenessProbe, Error, false,
        "Without a startup probe, initialDelaySeconds + periodSeconds x (failureThreshold - 1) is less than 1.5 times the longest time until \
         all containers were ready. The readiness probe's initialDelaySeconds and one period of it are taken off first, because it can add as \
         much. A note without a patch where another container may have taken the time, or where the probe would have restarted the pods.",
        "A container that starts a little slower than usual is killed before it is up, and starts again, slower still under load.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#when-should-you-use-a-startup-probe";
    PRE_STOP_MISSING = "pre-stop-missing", PreStop, Warning, false,
        "A container that serves has no preStop hook.",
        "SIGTERM comes at the same moment as the removal from the endpoints begins. Until the last node follows, new connections still \
         arrive, and a process that has stopped refuses them.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination";
    PRE_STOP_SHORT = "pre-stop-too-short", PreStop, Error, true,
        "The preStop hook sleeps for less than the measured removal: the slice hop (p99.9, or the maximum below 2,995 samples), plus the \
         last node, plus a margin of a quarter and one second.",
        "The process stops while nodes still send connections to it.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination";
    PRE_STOP_EXEC = "pre-stop-exec-sleep", PreStop, Note, false,
        "The preStop hook runs a program that only sleeps.",
        "An image without a shell or without `sleep` fails this hook, and the container is stopped at once. The kubelet's own sleep action \
         needs no program. It is stable since Kubernetes 1.34, and on by default since 1.30.",
        "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/#hook-handler-implementations";
    GRACE_SHORT = "grace-period-too-short", PreStop, Error, false,
        "terminationGracePeriodSeconds is less than the preStop sleep plus 10 s to drain.",
        "The grace period includes the preStop hook. What is left of it is all the time for requests that are under way; then SIGKILL \
         ends them.",
        "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/#hook-handler-execution";
    SIDECAR_ORDER = "sidecar-stops-first", PreStop, Warning, false,
        "A container that serves sleeps before it stops, and a proxy in an ordinary container of the same pod does not.",
        "All ordinary containers get SIGTERM at once. The proxy ends first, and cuts off the container that still serves.",
        "https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/";
    MIN_READY_SHORT = "min-ready-seconds-too-short", MinReadySeconds, Warning, true,
        "minReadySeconds is less than the measured time until a ready pod gets traffic on the last node.",
        "The rollout counts a new pod as available before it gets traffic, and stops an old one. minReadySeconds delays no traffic. \
         PodDisruptionBudgets ignore it, so a drain can still outrun propagation.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#min-ready-seconds";
    ROLLOUT_RECREATE = "rollout-recreate", RollingUpdate, Warning, false,
        "The strategy is Recreate.",
        "All old pods stop before the first new one starts: no endpoint serves for as long as a start takes, at each rollout.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#recreate-deployment";
    ROLLOUT_NO_ENDPOINTS = "rollout-without-endpoints", RollingUpdate, Error, false,
        "maxUnavailable allows all replicas to be missing at once, with the replicas there are or the autoscaler's minimum.",
        "A rollout may stop all pods before a new one serves.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable";
    ROLLOUT_NO_SURGE = "rollout-without-surge", RollingUpdate, Warning, false,
        "maxSurge is 0, and half of the pods took 10 s or more to start.",
        "During a rollout each pod is missing for as long as its replacement takes to start.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge";
    BUDGET_MISSING = "pod-disruption-budget-missing", DisruptionBudget, Warning, false,
        "Two replicas or more, and no PodDisruptionBudget selects them. A note without a patch where one selects some of the pods.",
        "A drain of several nodes may evict all replicas at once.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/";
    BUDGET_BLOCKS = "pod-disruption-budget-blocks", DisruptionBudget, Error, false,
        "No pod may be evicted even if all are healthy, with the replicas there are, or the autoscaler's minimum, of all workloads that the \
         budget selects.",
        "No node with such a pod can be drained: upgrades of the cluster hang, or kill the pods after a time-out.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/#specifying-a-poddisruptionbudget";
    BUDGETS_OVERLAP = "pod-disruption-budgets-overlap", DisruptionBudget, Error, false,
        "More than one PodDisruptionBudget selects the same pods.",
        "The API server refuses every eviction of such a pod, because it does not know which budget counts.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors";
    BUDGET_KEEPS_UNHEALTHY = "pod-disruption-budget-keeps-unhealthy", DisruptionBudget, Note, false,
        "unhealthyPodEvictionPolicy is not AlwaysAllow.",
        "Pods that crash in a loop cannot be evicted while fewer pods are healthy than the budget wants, so they block a drain that they \
         have no traffic to lose by.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy";
    SINGLE_REPLICA = "single-replica", Autoscaling, Warning, false,
        "One replica, and no autoscaler.",
        "Whatever ends this pod ends the Service for as long as a new one takes to start: an eviction, a crash, the loss of a node.",
        "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/";
    AUTOSCALER_MINIMUM = "autoscaler-minimum-one", Autoscaling, Warning, false,
        "minReplicas is 1 or less.",
        "With little load one pod is left, and whatever ends it ends the Service for as long as a new one takes to start.",
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/";
    AUTOSCALER_LAGS = "autoscaler-lags", Autoscaling, Warning, false,
        "There is an autoscaler, and half of the pods took 60 s or more to start.",
        "Load that doubles within this time meets the pods that are there: the autoscaler cannot help in time.",
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details";
    AUTOSCALER_MISSING = "autoscaler-missing", Autoscaling, Note, false,
        "A Deployment with two replicas or more has no autoscaler.",
        "More load than planned meets the same number of pods. That is fine where the load is known.",
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/";
    ON_ONE_NODE = "endpoints-on-one-node", Spreading, Warning, false,
        "Two ready endpoints or more, and all are on one node now.",
        "The loss of this node ends the Service.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/";
    IN_ONE_ZONE = "endpoints-in-one-zone", Spreading, Warning, false,
        "Two ready endpoints or more on several nodes, all in one zone now, and the cluster has more zones.",
        "The loss of this zone ends the Service.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/";
    SPREAD_UNSET = "spread-not-set", Spreading, Note, false,
        "Two replicas or more, and neither topologySpreadConstraints nor a pod anti-affinity.",
        "The scheduler's own defaults spread with a skew of up to 3 by node and 5 by zone, so two or three pods may share a node.",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/#internal-default-constraints";
    CONTROLLER_SLOW = "endpoints-slower-than-cluster", EndpointController, Warning, true,
        "The Service's p99 is at least 1 s, and five times that of the cluster.",
        "The EndpointSlice controller works on one Service at a time, and repeats failed writes after a growing wait.",
        "https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/endpointslice/endpointslice_controller.go";
    MANY_ENDPOINTS = "very-large-service", EndpointController, Note, false,
        "More than 1,000 ready endpoints.",
        "Each change of a pod writes one slice of up to 100 endpoints, which goes to every node; a rollout writes them all again and again.",
        "https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#distribution-of-endpointslices";
    BATCHING = "controller-batches", EndpointController, Note, true,
        "Half of the cluster's changes take 250 ms or more, and nine of ten less than twice as long.",
        "So even a delay points to a fixed wait, as --endpointslice-updates-batch-period of the controller adds it.",
        "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/";
    RATE_LIMITED = "controller-rate-limited", EndpointController, Warning, true,
        "The cluster's p99 is at least 1 s, and ten times its median.",
        "Most changes are fast, and some wait long: a queue that builds up when many pods change at once, as --kube-api-qps (20) of the \
         controller causes it.",
        "https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/";
    NODE_HOP = "node-hop-dominates", LoadBalancing, Warning, true,
        "At least 1 s in total, and at least half of it from the EndpointSlice to the last node.",
        "kube-proxy is the slow part, so no setting of the workload makes it faster.",
        "https://kubernetes.io/docs/reference/networking/virtual-ips/#optimizing-iptables-mode-performance";
    LOCAL_ONE_ENDPOINT = "local-policy-one-endpoint", LoadBalancing, Warning, false,
        "externalTrafficPolicy is Local, and no node has more than one ready endpoint.",
        "When its only endpoint goes away, a node can send connections from outside only to the terminating pod. It loses them if the load \
         balancer's health check takes longer than that pod lives.",
        "https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy";
    PROXY_MODE_SLOW = "proxy-mode-slow", LoadBalancing, Note, false,
        "Nodes run kube-proxy in mode iptables, and there are 1,000 Services or more.",
        "In mode iptables a full sync grows with the number of Services and endpoints. Mode nftables (stable since 1.33) updates what has changed.",
        "https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables";
    ANNOTATION_MALFORMED = "ignore-advice-malformed", Annotation, Warning, false,
        "The annotation endpointlag.io/ignore-advice has an entry that is not CHECK=REASON, or names no check.",
        "The advice that it should ignore is still given.",
        "docs/advice.md";
}

/// The check of this id.
pub fn find(id: &str) -> Option<&'static Check> {
    CHECKS.iter().copied().find(|check| check.id == id)
}
