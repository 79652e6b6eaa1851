//! `endpointlag completions`: a script with which a shell completes subcommands and flags.

use clap_complete::Shell;

/// Flags of `completions`.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// Shell for which to print the script.
    shell: Shell,
}

// === impl Args ===

impl Args {
    /// The script for the program `command`.
    pub fn script(&self, mut command: clap::Command) -> Vec<u8> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        script
    }
}
