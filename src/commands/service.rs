//! The argument SERVICE.

use crate::{cluster::is_label, flags::FlagErrors};

/// Checks that it can be the name of a Service.
pub(super) fn check_name(service: Option<&str>, errors: &mut FlagErrors) {
    if let Some(service) = service.filter(|service| !is_label(service)) {
        let advice = match service.split_once('/') {
            Some((namespace, name)) => format!("; write it like --namespace {namespace} {name}"),
            None => String::new(),
        };
        errors.add("SERVICE", format!("{service:?} is not a valid Service name{advice}"));
    }
}
