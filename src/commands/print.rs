//! Standard output.

use std::io::{self, ErrorKind, Write as _};

/// Prints on a thread that may block while the reader is slow. A reader that has seen enough, as `head` has, is no error: then nobody reads
/// what comes after, and this returns false.
///
/// # Errors
/// If standard output cannot be written.
pub(super) async fn print(text: String) -> io::Result<bool> {
    let print = move || {
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes()).and_then(|()| output.flush())
    };
    match tokio::task::spawn_blocking(print).await.unwrap_or_else(|error| Err(error.into())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
