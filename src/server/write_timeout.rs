//! The write timeout of a socket: its peer must read the answer in time.

use super::connections::Connection;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How slow a reader may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteTimeout {
    /// It must read something within this time.
    pub(super) stall: Duration,
    /// It must read all within this time.
    pub(super) answer: Duration,
}

/// A stream that fails if its peer reads slower than the [`WriteTimeout`] allows. It is below TLS, directly on the socket.
pub(super) struct TimeoutStream<S> {
    stream: S,
    write_timeout: WriteTimeout,
    connection: Arc<Connection>,
    /// Runs while nothing can be written.
    stall: Option<Pin<Box<Sleep>>>,
    /// Runs from the first time that nothing can be written until everything is written.
    answer: Option<Pin<Box<Sleep>>>,
}

// === impl TimeoutStream ===

impl<S> TimeoutStream<S> {
    pub(super) fn new(stream: S, write_timeout: WriteTimeout, connection: Arc<Connection>) -> Self {
        Self { stream, write_timeout, connection, stall: None, answer: None }
    }

    /// The result of a write, or an error if the peer did not read in time.
    fn timed<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let WriteTimeout { stall, answer } = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(stall))).as_mut().poll(cx);
        let answer = self.answer.get_or_insert_with(|| Box::pin(sleep(answer))).as_mut().poll(cx);
        if stall.is_pending() && answer.is_pending() {
            return Poll::Pending;
        }
        self.connection.note_slow_reader();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.connection.note_heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.timed(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.timed(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when everything is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.answer = None;
        self.connection.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::connections::Connections, *};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::Instant,
    };

    const TIMEOUT: WriteTimeout = WriteTimeout { stall: Duration::from_secs(10), answer: Duration::from_secs(60) };
    const BUFFER: usize = 100;

    fn stream() -> (TimeoutStream<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(BUFFER);
        let guard = Connections::new(1, Arc::default()).enter();
        (TimeoutStream::new(server, TIMEOUT, guard.connection.clone()), client)
    }

    /// Reads one byte per interval, without end.
    fn read_slowly(mut client: DuplexStream, every: Duration) {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let _ = client.read_u8().await;
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_given_up() {
        let ((mut server, _client), started) = (stream(), Instant::now());
        let error = server.write_all(&[0; BUFFER + 1]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_goes_on_and_on_is_given_up() {
        let ((mut server, client), started) = (stream(), Instant::now());
        read_slowly(client, Duration::from_secs(1));
        let error = server.write_all(&[0; BUFFER + 70]).await.expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_its_time() {
        let (mut server, client) = stream();
        read_slowly(client, Duration::from_secs(9));
        for size in [BUFFER + 6, 6, 6] {
            server.write_all(&vec![0; size]).await.expect("54 s each");
            server.flush().await.expect("in time");
        }
    }
}
