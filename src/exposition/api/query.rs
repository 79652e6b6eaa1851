//! Query parameters, which are checked by name and value.

use crate::{
    ledger::Change,
    stats::{Selection, Window},
};
use std::{borrow::Cow, collections::BTreeMap, str::FromStr};

/// Errors of a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter that this path does not have.
    #[error("unknown parameter {0:?}")]
    Unknown(String),
    /// A parameter that is given twice.
    #[error("the parameter {0:?} is given twice")]
    Twice(String),
    /// A value that is not one of the possible values.
    #[error("{name}={value:?}: write one of {choices}")]
    Choice {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The possible values.
        choices: String,
    },
    /// A value that is not a number in the range.
    #[error("{name}={value:?}: write a whole number from {least} to {most}")]
    Number {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The smallest.
        least: usize,
        /// The largest.
        most: usize,
    },
    /// What is asked for is known of Services only, and rows are kinds of change.
    #[error("only=stuck, first=stuck, sort=out_of_sync and sort=oldest_out_of_sync are of Services: add by=service")]
    OfServices,
    /// Only one of the two parameters that name a Service is given.
    #[error("a Service needs both namespace and service")]
    Halved,
}

/// The parameters of one request. They are removed one by one.
#[derive(Debug)]
pub(super) struct Query<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

// === impl Query ===

impl<'a> Query<'a> {
    /// Splits a query.
    ///
    /// # Errors
    /// If a parameter is given twice.
    pub(super) fn parse(text: &'a str) -> Result<Self, QueryError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if parameters.contains_key(&name) {
                return Err(QueryError::Twice(name.into_owned()));
            }
            parameters.insert(name, value);
        }
        Ok(Self(parameters))
    }

    /// The text of a parameter. An empty one counts as absent, because browsers send empty form fields.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty()).map(Cow::into_owned)
    }

    /// One of several values, each with its name.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, QueryError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match choices.iter().find(|(choice, _)| *choice == value) {
            Some((_, chosen)) => Ok(Some(*chosen)),
            None => {
                let choices = choices.iter().map(|(choice, _)| *choice).collect::<Vec<_>>().join(", ");
                Err(QueryError::Choice { name, value, choices })
            }
        }
    }

    /// A number in a range; `default` if it is absent.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        (least, most): (usize, usize),
        default: usize,
    ) -> Result<usize, QueryError> {
        let Some(value) = self.text(name) else { return Ok(default) };
        match usize::from_str(&value) {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(QueryError::Number { name, value, least, most }),
        }
    }

    /// The window, if one is given.
    pub(super) fn window(&mut self) -> Result<Option<Window>, QueryError> {
        self.choice("window", &Window::ALL.map(|window| (window.as_str(), window)))
    }

    /// The selected Services: `namespace`, `service`, `q`.
    pub(super) fn services(&mut self) -> Selection {
        Selection {
            namespace: self.text("namespace"),
            service: self.text("service"),
            // Names have no capitals, but a search text may.
            contains: self.text("q").map(|part| part.trim().to_lowercase()),
            change: None,
        }
    }

    /// The selected Services and kinds of change: also `change`.
    pub(super) fn selection(&mut self) -> Result<Selection, QueryError> {
        Ok(Selection { change: self.change()?, ..self.services() })
    }

    /// One Service, or the cluster if none is given, and the kinds of change: `namespace` and `service`, `change`.
    pub(super) fn one_service(&mut self) -> Result<Selection, QueryError> {
        let (namespace, service) = (self.text("namespace"), self.text("service"));
        if namespace.is_some() != service.is_some() {
            return Err(QueryError::Halved);
        }
        Ok(Selection { namespace, service, change: self.change()?, contains: None })
    }

    fn change(&mut self) -> Result<Option<Change>, QueryError> {
        self.choice("change", &Change::ALL.map(|change| (change.as_str(), change)))
    }

    /// Checks that no parameter is left.
    pub(super) fn end(self) -> Result<(), QueryError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(QueryError::Unknown(name.into_owned())),
        }
    }
}
