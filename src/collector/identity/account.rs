//! The name of a ServiceAccount, as written in a flag.

use std::{fmt, str::FromStr};

/// A ServiceAccount of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

/// A text that is not the name of a ServiceAccount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// It does not consist of two names.
    #[error("write it like NAMESPACE/NAME")]
    NotTwoNames,
    /// One of them is not a valid name in Kubernetes.
    #[error("names have lower case letters, digits, \"-\" and \".\"")]
    NoName,
}

// === impl ServiceAccount ===

impl ServiceAccount {
    /// Its user name in Kubernetes.
    pub(super) fn user_name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceAccount {
    type Err = AccountError;

    fn from_str(text: &str) -> Result<Self, AccountError> {
        let (namespace, name) = text.split_once('/').ok_or(AccountError::NotTwoNames)?;
        for part in [namespace, name] {
            if part.is_empty() || part.contains('/') {
                return Err(AccountError::NotTwoNames);
            }
            let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
            if !part.chars().all(allowed) {
                return Err(AccountError::NoName);
            }
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_two_names() {
        let account: ServiceAccount = "monitoring/endpointlag-agent".parse().expect("two names");
        assert_eq!(account.user_name(), "system:serviceaccount:monitoring:endpointlag-agent");
        assert_eq!(account.to_string(), "monitoring/endpointlag-agent");
        for text in ["", "agent", "/agent", "monitoring/", "a/b/c"] {
            assert_eq!(text.parse::<ServiceAccount>(), Err(AccountError::NotTwoNames), "{text}");
        }
        for text in ["a:b/c", "Monitoring/agent", "a b/c"] {
            assert_eq!(text.parse::<ServiceAccount>(), Err(AccountError::NoName), "{text}");
        }
    }
}
