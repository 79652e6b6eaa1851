//! The sockets for requests to nf_tables and for its notifications.

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::{NETFILTER, SocketAddrNetlink},
        recv, send, socket_with,
        sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout},
    },
};
use std::{os::fd::OwnedFd, time::Duration};

/// The group NFNLGRP_NFTABLES, which is number 7, as a mask.
const GROUP: u32 = 1 << 6;

/// The kernel sends notifications of up to 3.8 KB, and answers of up to 32 KB.
const LONGEST: usize = 64 * 1024;

/// Why the kernel refuses to communicate.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It needs a capability that this process does not have.
    #[error(
        "the kernel's notifications of nf_tables need CAP_NET_ADMIN in this network namespace: run as root, or give the container \
         `capabilities: {{add: [NET_ADMIN]}}` and `hostNetwork: true`"
    )]
    NotPermitted,
    /// It refuses for another reason.
    #[error("cannot {doing}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The kernel's error.
        #[source]
        error: Errno,
    },
}

/// The result of a receive call.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// A datagram.
    Datagram(&'a [u8]),
    /// A datagram that was longer than any that the kernel sends.
    Truncated,
    /// No datagram in time.
    Nothing,
    /// The process was stopped and continues. A datagram may be there.
    Interrupted,
    /// The buffer of the socket was full. Datagrams that came then are lost.
    Overrun,
}

/// A netlink socket with a buffer to read into.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    buffer: Box<[u8]>,
}

// === impl Socket ===

impl Socket {
    /// A socket that receives all notifications of nf_tables, and keeps this number of bytes until they are read.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn listening(receive_buffer: usize, timeout: Duration) -> Result<Self, SocketError> {
        let socket = Self::open(GROUP, timeout)?;
        set_socket_recv_buffer_size_force(&socket.fd, receive_buffer)
            .map_err(|error| SocketError::of("enlarge the buffer of a socket", error))?;
        Ok(socket)
    }

    /// A socket for requests.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn asking(timeout: Duration) -> Result<Self, SocketError> {
        Self::open(0, timeout)
    }

    fn open(groups: u32, timeout: Duration) -> Result<Self, SocketError> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(NETFILTER))
            .map_err(|error| SocketError::of("open a netlink socket", error))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(timeout))
            .map_err(|error| SocketError::of("set a timeout", error))?;
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(|error| SocketError::of("listen to nf_tables", error))?;
        Ok(Self { fd, buffer: vec![0; LONGEST].into_boxed_slice() })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub(crate) fn send(&self, request: &[u8]) -> Result<(), SocketError> {
        send(&self.fd, request, SendFlags::empty())
            .map(drop)
            .map_err(|error| SocketError::of("ask for the rules of nf_tables", error))
    }

    /// Waits for a datagram.
    ///
    /// # Errors
    /// No datagram can come any more.
    pub(crate) fn receive(&mut self) -> Result<Received<'_>, SocketError> {
        self.receive_with(RecvFlags::empty())
    }

    /// Takes a datagram that is already there.
    ///
    /// # Errors
    /// No datagram can come any more.
    pub(crate) fn receive_waiting(&mut self) -> Result<Received<'_>, SocketError> {
        self.receive_with(RecvFlags::DONTWAIT)
    }

    fn receive_with(&mut self, flags: RecvFlags) -> Result<Received<'_>, SocketError> {
        match recv(&self.fd, &mut *self.buffer, flags | RecvFlags::TRUNC) {
            Ok((_, length)) => Ok(self.buffer.get(..length).map_or(Received::Truncated, Received::Datagram)),
            Err(Errno::NOBUFS) => Ok(Received::Overrun),
            Err(Errno::AGAIN) => Ok(Received::Nothing),
            Err(Errno::INTR) => Ok(Received::Interrupted),
            Err(error) => Err(SocketError::of("listen to nf_tables", error)),
        }
    }
}

// === impl SocketError ===

impl SocketError {
    pub(crate) fn of(doing: &'static str, error: Errno) -> Self {
        match error {
            Errno::PERM => Self::NotPermitted,
            error => Self::Refused { doing, error },
        }
    }
}
