//! The annotation with which the owner of a Service or a workload ignores advice, [`crate::model::spec::IGNORE_ADVICE_ANNOTATION`]:
//! `CHECK=REASON`, several separated by semicolons. The name of a lever stands for all of its checks.

use super::{Check, Lever, checks};

/// What is ignored, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored(Vec<(String, String)>);

// === impl Ignored ===

impl Ignored {
    /// Reads the annotation's value, and lists what is wrong with it.
    pub(super) fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut entries, mut errors) = (Vec::new(), Vec::new());
        for entry in text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let Some((name, reason)) = entry.split_once('=') else {
                errors.push(format!("{entry:?} has no reason"));
                continue;
            };
            let (name, reason) = (name.trim(), reason.trim());
            if checks::find(name).is_none() && !Lever::ALL.iter().any(|lever| lever.as_str() == name) {
                errors.push(format!("{name:?} is no check"));
            } else if reason.is_empty() {
                errors.push(format!("{name:?} has no reason"));
            } else {
                entries.push((name.to_owned(), reason.to_owned()));
            }
        }
        (Self(entries), errors)
    }

    /// What either ignores.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Why findings of this check are ignored, if they are.
    pub(super) fn reason(&self, check: &Check) -> Option<String> {
        let (_, reason) = self.0.iter().find(|(name, _)| name == check.id || name == check.lever.as_str())?;
        Some(reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_a_check_or_lever_and_a_reason() {
        let (ignored, errors) = Ignored::parse(
            "pod-disruption-budget=batch job, may stop; single-replica = one is=enough;\n pre-stop-missing",
        );
        assert_eq!(errors, [r#""pre-stop-missing" has no reason"#]);
        assert_eq!(ignored.reason(checks::BUDGET_MISSING).as_deref(), Some("batch job, may stop"));
        assert_eq!(ignored.reason(checks::SINGLE_REPLICA).as_deref(), Some("one is=enough"));
        assert_eq!(ignored.reason(checks::PRE_STOP_MISSING), None);
        let (_, errors) = Ignored::parse("prestop=x;spreading=");
        assert_eq!(errors, [r#""prestop" is no check"#, r#""spreading" has no reason"#]);
    }
}
