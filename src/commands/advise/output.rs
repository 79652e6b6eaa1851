//! The advice in each format.

mod junit;
mod patches;
mod sarif;
mod table;

pub(super) use self::patches::write_patches;

use super::{AdviseError, Output, Settings};
use crate::{advice::Advice, commands::text::has_colours, exposition};

/// What is printed on standard output.
pub(super) fn text(advice: &Advice, settings: &Settings) -> Result<String, AdviseError> {
    let bad = |error: serde_json::Error| AdviseError::Format(error.to_string());
    match settings.output {
        None => patches::stream(advice),
        Some(Output::Table) => Ok(table::text(advice, has_colours())),
        Some(Output::Json) => {
            let json = exposition::advice::advice(advice).map_err(bad)?;
            Ok(String::from_utf8_lossy(&json).into_owned() + "\n")
        }
        Some(Output::Sarif) => Ok(sarif::text(advice).map_err(bad)? + "\n"),
        Some(Output::Junit) => {
            junit::text(advice, settings.fail_on.severity()).map_err(|error| AdviseError::Format(error.to_string()))
        }
    }
}
