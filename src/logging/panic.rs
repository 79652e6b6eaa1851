//! A panic ends the process.
//!
//! Otherwise only its thread or task would end: a daemon with a dead pipeline would continue to answer `/healthz`, and to show
//! numbers that no longer change.

use super::LogFormat;
use std::{
    panic::{self, PanicHookInfo},
    process, thread,
    time::Duration,
};

/// How long writing the reason may take. Standard error may be a full pipe.
const LIMIT: Duration = Duration::from_secs(1);

// === impl LogFormat ===

impl LogFormat {
    /// Makes every panic, in any thread or task, end the process with one line in this format.
    pub fn end_on_panic(self) {
        panic::set_hook(Box::new(move |panic| {
            let late = || {
                thread::sleep(LIMIT);
                process::abort();
            };
            // If this thread does not start, the line below may block, and then the process hangs. There is no better way left.
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
