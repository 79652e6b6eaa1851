//! A finding, and how findings are collected.

use super::{Check, Lever, Patch, Severity, checks, ignored::Ignored};
use crate::{
    model::spec::{ServiceSpec, Workload},
    propagation::ServiceName,
};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// What should be set to something else, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static Check,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub target: Target,
    /// The Services that it concerns.
    pub services: Vec<ServiceName>,
    /// What is set.
    pub set: Cow<'static, str>,
    /// What was measured, where it rests on that.
    pub measured: Option<String>,
    /// The rule that decided, with its figures.
    pub rule: Cow<'static, str>,
    /// What to set.
    pub advice: Cow<'static, str>,
    /// What this costs.
    pub cost: Cow<'static, str>,
    /// The change as a patch, if it can be written without knowing the application.
    pub patch: Option<Patch>,
    /// Why its owner ignores it.
    pub ignored: Option<String>,
    /// The figure that is proposed. Of several for the same thing, the largest is right for all.
    figure: u32,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Its kind, such as `Deployment`; `Cluster` for the cluster as a whole.
    pub kind: &'static str,
    /// Its namespace; empty for the cluster.
    pub namespace: String,
    /// Its name; empty for the cluster.
    pub name: String,
    /// The container, if it is about one.
    pub container: Option<String>,
}

/// Checks that were not made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// Of which Service; `None` for all.
    pub service: Option<ServiceName>,
    /// Names of the levers and checks.
    pub checks: Vec<&'static str>,
    /// Why.
    pub why: String,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    /// The findings by namespace and target, and there the worst first.
    pub findings: Vec<Finding>,
    /// What was not judged.
    pub skipped: Vec<Skipped>,
}

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<(Target, &'static str), Finding>,
    skipped: Vec<Skipped>,
    service: Option<ServiceName>,
    ignored: Ignored,
}

// === impl Finding ===

impl Finding {
    pub(super) fn new(check: &'static Check, target: Target, set: impl Into<Cow<'static, str>>) -> Self {
        Self {
            check,
            severity: check.severity,
            target,
            services: Vec::new(),
            set: set.into(),
            measured: None,
            rule: check.rule.into(),
            advice: Cow::default(),
            cost: "Nothing.".into(),
            patch: None,
            ignored: None,
            figure: 0,
        }
    }

    pub(super) fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    pub(super) fn measured(self, measured: impl Into<String>) -> Self {
        Self { measured: Some(measured.into()), ..self }
    }

    /// The rule with the figures of this case.
    pub(super) fn rule(self, rule: impl Into<Cow<'static, str>>) -> Self {
        Self { rule: rule.into(), ..self }
    }

    pub(super) fn advice(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    pub(super) fn cost(self, cost: impl Into<Cow<'static, str>>) -> Self {
        Self { cost: cost.into(), ..self }
    }

    pub(super) fn patch(self, patch: Patch) -> Self {
        Self { patch: Some(patch), ..self }
    }

    pub(super) fn without_patch(self) -> Self {
        Self { patch: None, ..self }
    }

    pub(super) fn figure(self, figure: u32) -> Self {
        Self { figure, ..self }
    }
}

// === impl Target ===

impl Target {
    pub(super) fn of_workload(workload: &Workload) -> Self {
        Self {
            kind: workload.kind.as_str(),
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            container: None,
        }
    }

    pub(super) fn of_service(service: &ServiceSpec) -> Self {
        Self::of("Service", &service.namespace, &service.name)
    }

    pub(super) fn of(kind: &'static str, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), container: None }
    }

    pub(super) fn cluster() -> Self {
        Self::of("Cluster", "", "")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return f.write_str("the cluster");
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)?;
        match &self.container {
            Some(container) => write!(f, ", container {container}"),
            None => Ok(()),
        }
    }
}

// === impl Advice ===

impl Advice {
    /// The severity of the worst finding that is not ignored.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().filter(|finding| finding.ignored.is_none()).map(|finding| finding.severity).max()
    }
}

// === impl Findings ===

impl Findings {
    /// The findings that follow are about this Service.
    pub(super) fn begin(&mut self, service: &ServiceSpec, ignored: Ignored) {
        self.service = Some(service_name(service));
        self.ignored = ignored;
    }

    /// Reads an annotation. What is malformed is a finding about the Service.
    pub(super) fn ignored(
        &mut self,
        service: &ServiceSpec,
        annotation: Option<&str>,
        target: impl Fn() -> Target,
    ) -> Ignored {
        let (ignored, errors) = Ignored::parse(annotation.unwrap_or_default());
        if let (false, Some(annotation)) = (errors.is_empty(), annotation) {
            let finding = Finding::new(checks::ANNOTATION_MALFORMED, target(), format!("{annotation:?}"))
                .rule(errors.join("; "))
                .advice("Write it like pre-stop=drains by itself; liveness-probe-missing=ends when it cannot go on.");
            self.insert(Finding { services: vec![service_name(service)], ..finding });
        }
        ignored
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let ignored = self.ignored.reason(finding.check);
        let services = self.service.clone().into_iter().collect();
        self.insert(Finding { services, ignored, ..finding });
    }

    /// The same thing may be found by several Services. The largest figure is right for all of them. It is ignored only if all ignore it.
    fn insert(&mut self, mut finding: Finding) {
        let key = (finding.target.clone(), finding.check.id);
        if let Some(other) = self.found.remove(&key) {
            let ignored = other.ignored.clone().and(finding.ignored.clone());
            let mut services = other.services.clone();
            services.append(&mut finding.services);
            services.sort_unstable();
            services.dedup();
            let larger = if other.figure >= finding.figure { other } else { finding };
            finding = Finding { services, ignored, ..larger };
        }
        self.found.insert(key, finding);
    }

    pub(super) fn skip(&mut self, service: Option<&ServiceSpec>, levers: &[Lever], why: &str) {
        self.skip_checks(service, levers.iter().map(|lever| lever.as_str()).collect(), why);
    }

    pub(super) fn skip_checks(&mut self, service: Option<&ServiceSpec>, checks: Vec<&'static str>, why: &str) {
        self.skipped.push(Skipped { service: service.map(service_name), checks, why: why.to_owned() });
    }

    pub(super) fn end(self) -> Advice {
        let mut findings: Vec<_> = self.found.into_values().collect();
        findings.sort_by(|a, b| {
            let place = |it: &Finding| (it.target.namespace.clone(), it.target.name.clone(), it.target.kind);
            let worst = b.severity.cmp(&a.severity).then(a.check.lever.cmp(&b.check.lever));
            place(a).cmp(&place(b)).then(worst).then_with(|| a.target.cmp(&b.target))
        });
        let mut skipped = self.skipped;
        skipped.sort_unstable();
        skipped.dedup();
        Advice { findings, skipped }
    }
}

fn service_name(service: &ServiceSpec) -> ServiceName {
    ServiceName { namespace: service.namespace.as_str().into(), name: service.name.as_str().into() }
}
