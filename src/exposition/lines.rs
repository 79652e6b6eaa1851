//! Appends whole lines to a file or to standard output. The disk may be full, the pipe may break, and the file may be rotated.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

/// The target of the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, to which lines are appended.
    File(PathBuf),
}

/// Appends lines. After a failure it continues without adding to an incomplete line.
#[derive(Debug)]
pub(super) struct LineWriter {
    target: Target,
    /// `None` if it could not be opened.
    file: Option<File>,
    /// The last byte in the file is not a line end.
    torn: bool,
    /// The last write failed, and this was logged.
    failing: bool,
}

/// Lines could not be appended.
#[derive(Debug)]
pub(super) struct Unwritten {
    /// Number of bytes of the whole lines that were appended.
    pub(super) kept: usize,
}

// === impl Target ===

impl Target {
    /// `-` means standard output.
    pub fn parse(text: &str) -> Self {
        if text == "-" { Self::Stdout } else { Self::File(text.into()) }
    }

    fn open(&self) -> io::Result<File> {
        match self {
            // By its file descriptor. The standard library would flush its buffer at the end of the process, and hang if the
            // reader is blocked.
            Self::Stdout => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            Self::File(path) => OpenOptions::new().create(true).append(true).open(path),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

// === impl LineWriter ===

impl LineWriter {
    /// Opens the target. The contents of a file are kept.
    ///
    /// # Errors
    /// If the target cannot be opened. A full disk is not an error here, because it may get free space.
    pub(super) fn open(target: Target) -> io::Result<Self> {
        let mut writer = Self { target, file: None, torn: false, failing: false };
        match writer.open_file() {
            Err(error) if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Err(error),
            _ => Ok(writer),
        }
    }

    /// Reopens a file, which may have been moved away. Standard output stays the same.
    pub(super) fn reopen(&mut self) {
        if self.target == Target::Stdout {
            return;
        }
        match self.open_file() {
            Ok(()) => tracing::info!(output = %self.target, "reopened"),
            Err(error) => self.complain(&error),
        }
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_empty(&self) -> bool {
        self.file.as_ref().and_then(length).is_none_or(|length| length == 0)
    }

    /// Appends lines. The last one must have its line end. The first failure of a series is logged, and so is the end of the
    /// series.
    ///
    /// # Errors
    /// If not all lines were appended. A partly written line is removed if possible. Otherwise the next write starts with a line
    /// end.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        if self.file.is_none()
            && let Err(error) = self.open_file()
        {
            self.complain(&error);
            return Err(Unwritten { kept: 0 });
        }
        // It was opened above.
        let Some(file) = &mut self.file else { return Err(Unwritten { kept: 0 }) };
        let before = length(file);
        let (prefix, mut written) = (usize::from(self.torn), 0);
        let mut failure = None;
        while failure.is_none() && written < prefix + lines.len() {
            let rest = if written < prefix { &b"\n"[..] } else { &lines[written - prefix..] };
            match file.write(rest) {
                Ok(0) => failure = Some(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else {
            self.torn = false;
            if std::mem::take(&mut self.failing) {
                tracing::info!(output = %self.target, "can be written again");
            }
            return Ok(());
        };
        let of_lines = &lines[..written.saturating_sub(prefix)];
        let kept = of_lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if written >= prefix {
            self.torn = kept < of_lines.len() && !take_back(file, before, written, of_lines.len() - kept);
        }
        self.complain(&error);
        Err(Unwritten { kept })
    }

    fn open_file(&mut self) -> io::Result<()> {
        self.file = None;
        let file = self.target.open()?;
        self.torn = match &self.target {
            Target::Stdout => false,
            Target::File(path) => ends_within_a_line(path),
        };
        self.file = Some(file);
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(output = %self.target, %error, "cannot be written; will retry");
        }
    }
}

/// Length of a file; `None` if the target has no length, such as a pipe.
fn length(file: &File) -> Option<u64> {
    file.metadata().ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len())
}

/// Removes the last written bytes, unless another process has appended to the file in the meantime.
fn take_back(file: &mut File, before: Option<u64>, written: usize, torn: usize) -> bool {
    let (Some(before), Some(now)) = (before, length(file)) else { return false };
    let ours = now == before + written as u64;
    // A file as standard output is not opened in append mode, so the next byte would come after a hole.
    ours && file.set_len(now - torn as u64).is_ok() && file.seek(SeekFrom::End(0)).is_ok()
}

/// Whether an earlier process left an incomplete last line in a file.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        // A pipe must not be opened for reading, and a new file has no contents.
        if !path.metadata()?.is_file() {
            return Ok(b'\n');
        }
        let mut file = File::open(path)?;
        let mut last = [b'\n'];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        Ok(last[0])
    };
    // In an empty file there is no last byte to seek to.
    last().is_ok_and(|byte| byte != b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{
        fs::OFlags,
        fs::fcntl_setfl,
        pipe::{fcntl_setpipe_size, pipe},
    };
    use std::fs;

    fn writer(path: &Path) -> LineWriter {
        LineWriter::open(Target::File(path.into())).expect("opens")
    }

    #[test]
    fn a_full_disk_is_survived() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines");
        std::os::unix::fs::symlink("/dev/full", &path).expect("linked");
        let mut lines = writer(&path);
        assert!(lines.append(b"a\n").is_err_and(|unwritten| unwritten.kept == 0));
        assert!(lines.failing);
        fs::remove_file(&path).expect("there");
        lines.reopen();
        lines.append(b"a\n").expect("written");
        assert!(!lines.failing);
        assert_eq!(fs::read(&path).expect("there"), b"a\n");
    }

    #[test]
    fn what_was_left_unfinished_is_not_added_to() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "whole\n{\"half\":").expect("written");
        let mut lines = writer(file.path());
        lines.append(b"a\nb\n").expect("written");
        lines.append(b"c\n").expect("written");
        assert_eq!(fs::read_to_string(file.path()).expect("there"), "whole\n{\"half\":\na\nb\nc\n");
    }

    /// A pipe with room for half a line. What was written to it cannot be removed.
    #[test]
    fn after_half_a_line_in_a_pipe_the_next_begins_on_its_own() {
        let (reader, end) = pipe().expect("a pipe");
        let size = fcntl_setpipe_size(&end, 4096).expect("a small one");
        fcntl_setfl(&end, OFlags::NONBLOCK).expect("set");
        let mut lines = LineWriter { target: Target::Stdout, file: Some(end.into()), torn: false, failing: false };
        let short = [b"x".repeat(9), b"\n".to_vec()].concat();
        let long = [short.clone(), b"y".repeat(2 * size), b"\n".to_vec()].concat();
        let unwritten = lines.append(&long).expect_err("no room");
        assert_eq!((unwritten.kept, lines.torn), (short.len(), true));
        let mut taken = vec![0; size];
        let mut reader = File::from(reader);
        reader.read_exact(&mut taken).expect("full");
        lines.append(b"z\n").expect("room");
        drop(lines);
        taken.clear();
        reader.read_to_end(&mut taken).expect("text");
        assert_eq!(taken, b"\nz\n");
    }

    #[test]
    fn half_a_line_in_a_file_is_taken_back_unless_others_append_too() {
        for others in [false, true] {
            let named = tempfile::NamedTempFile::new().expect("a file");
            let mut file = OpenOptions::new().append(true).open(named.path()).expect("opens");
            file.write_all(b"a\nb").expect("written");
            if others {
                OpenOptions::new()
                    .append(true)
                    .open(named.path())
                    .and_then(|mut it| it.write_all(b"!"))
                    .expect("written");
            }
            assert_eq!(take_back(&mut file, Some(0), 3, 1), !others);
            let expected = if others { "a\nb!" } else { "a\n" };
            assert_eq!(fs::read_to_string(named.path()).expect("there"), expected);
        }
    }

    #[test]
    fn a_rotated_file_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, old) = (folder.path().join("lines"), folder.path().join("lines.1"));
        let mut lines = writer(&path);
        lines.append(b"a\n").expect("written");
        fs::rename(&path, &old).expect("moved");
        lines.append(b"b\n").expect("written");
        lines.reopen();
        assert!(lines.is_empty());
        lines.append(b"c\n").expect("written");
        let read = |path| fs::read_to_string(path).expect("there");
        assert_eq!((read(&old), read(&path)), ("a\nb\n".to_owned(), "c\n".to_owned()));
    }
}
