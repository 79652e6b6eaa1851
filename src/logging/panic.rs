//! A panic ends the process.
//!
//! Without that, only its thread or task would end: a daemon whose pipeline is dead would go on to answer `/healthz`, and show
//! numbers that no longer move.

use super::LogFormat;
use std::{
    panic::{self, PanicHookInfo},
    process, thread,
    time::Duration,
};

/// How long saying why may take: standard error may be a pipe that is full.
const LIMIT: Duration = Duration::from_secs(1);

// === impl LogFormat ===

impl LogFormat {
    /// Makes every panic, of whichever thread or task, end the process with one line in this format.
    pub fn end_on_panic(self) {
        panic::set_hook(Box::new(move |panic| {
            let late = || {
                thread::sleep(LIMIT);
                process::abort();
            };
            // Without it the line below may hang, and the process with it; that is the least that is wrong then.
            let _ = thread::Builder::new().spawn(late);
            self.say_fatal(&describe(panic));
            process::abort();
        }));
    }
}

fn describe(panic: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
    let message = panic.payload_as_str().unwrap_or("no message");
    format!("ending, since the thread {name} panicked{place}: {message}")
}
