//! Containers, their probes and hooks.

use super::sleep::{is_sleep, slept};

/// Names of the containers of meshes, through which all connections of a pod go.
pub const MESH_PROXIES: [&str; 5] =
    ["istio-proxy", "linkerd-proxy", "envoy-sidecar", "consul-dataplane", "kuma-sidecar"];

/// A container of a pod template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name, unique in its pod.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The ports that it declares.
    pub ports: Vec<ContainerPort>,
    /// Decides whether it is ready.
    pub readiness: Option<Probe>,
    /// Decides whether it is restarted.
    pub liveness: Option<Probe>,
    /// Holds the other probes back until it has succeeded.
    pub startup: Option<Probe>,
    /// What runs before it gets SIGTERM.
    pub pre_stop: Option<Hook>,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// Its protocol.
    pub transport: Transport,
}

/// Protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A probe. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub handler: Handler,
    /// Time from the start of the container to the first probe.
    pub initial_delay: u32,
    /// Time between two probes.
    pub period: u32,
    /// How long an answer may take.
    pub timeout: u32,
    /// After how many failures in a row the result changes.
    pub failures: u32,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// A GET request.
    Http(HttpGet),
    /// A TCP connection.
    Tcp {
        /// Number or name of the port.
        port: String,
        /// Where to, if not to the pod itself.
        host: Option<String>,
    },
    /// The gRPC health service.
    Grpc {
        /// The port.
        port: String,
        /// The name of the service that is asked for.
        service: String,
    },
    /// A program in the container.
    Exec {
        /// It and its arguments.
        command: Vec<String>,
    },
}

/// A GET request of a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGet {
    /// Its path.
    pub path: String,
    /// Number or name of the port.
    pub port: String,
    /// Whether it is HTTPS.
    pub is_https: bool,
    /// Where to, if not to the pod itself.
    pub host: Option<String>,
    /// Names and values of its headers, in order.
    pub headers: Vec<(String, String)>,
}

/// A preStop hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The kubelet itself waits.
    Sleep {
        /// How long, in seconds.
        seconds: u32,
    },
    /// A program in the container.
    Exec {
        /// It and its arguments.
        command: Vec<String>,
    },
    /// A GET request, which ends when the answer comes.
    Http {
        /// Its path.
        path: String,
    },
}

// === impl Container ===

impl Container {
    /// Whether it declares a port with this number or name.
    pub fn has_port(&self, port: &str) -> bool {
        self.ports.iter().any(|it| it.is(port))
    }
}

// === impl ContainerPort ===

impl ContainerPort {
    /// Whether it has this number or name.
    pub fn is(&self, port: &str) -> bool {
        self.name == port || self.number.to_string() == port
    }
}

// === impl Probe ===

impl Probe {
    /// How long failures last at most until they have an effect, in seconds: the first may come a period after what it shows.
    pub fn patience(&self) -> u32 {
        self.period.saturating_mul(self.failures)
    }

    /// The longest time from the start of the container until failures have an effect, in seconds.
    pub fn last_effect(&self) -> u32 {
        self.initial_delay.saturating_add(self.patience()).saturating_add(self.timeout)
    }

    /// The shortest time from the start of the container until failures have an effect, in seconds. The kubelet asks first when
    /// initialDelaySeconds are over, and acts on the last failure at once: doProbe in pkg/kubelet/prober/worker.go.
    pub fn first_effect(&self) -> u32 {
        self.initial_delay.saturating_add(self.period.saturating_mul(self.failures.saturating_sub(1)))
    }
}

// === impl Hook ===

impl Hook {
    /// For how many seconds it waits, as far as can be told. Fractions are rounded down.
    pub fn seconds(&self) -> Option<u32> {
        match self {
            Self::Sleep { seconds } => Some(*seconds),
            Self::Exec { command } => slept(command),
            Self::Http { .. } => None,
        }
    }

    /// Whether it does nothing but sleep, by a program in the container.
    pub fn is_exec_sleep(&self) -> bool {
        let Self::Exec { command } = self else { return false };
        let words = words(command);
        slept(command).is_some()
            && words.iter().all(|word| !word.contains(['&', ';', '|']))
            && words.iter().rev().nth(1).is_some_and(|word| is_sleep(word))
            && words.iter().filter(|word| is_sleep(word)).count() == 1
            && words.iter().rev().skip(2).all(|word| is_shell(word) || word.starts_with('-') || *word == "exec")
    }
}

/// All words of a command, also of a script given to a shell.
fn words(command: &[String]) -> Vec<&str> {
    command.iter().flat_map(|part| part.split_whitespace()).collect()
}

fn is_shell(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash" | "busybox"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(command: &[&str]) -> Hook {
        Hook::Exec { command: command.iter().map(|&word| word.to_owned()).collect() }
    }

    /// Six failures are five periods apart.
    #[test]
    fn the_first_failure_comes_when_the_initial_delay_is_over() {
        let handler = Handler::Tcp { port: "http".to_owned(), host: None };
        let probe = Probe { handler, initial_delay: 5, period: 10, timeout: 1, failures: 6 };
        assert_eq!((probe.first_effect(), probe.patience(), probe.last_effect()), (55, 60, 66));
        assert_eq!(Probe { failures: 1, ..probe }.first_effect(), 5);
    }

    #[test]
    fn a_sleep_is_found_in_a_command() {
        let slept = [
            (exec(&["sleep", "5"]), Some(5), true),
            (exec(&["/bin/sh", "-c", "sleep 15"]), Some(15), true),
            (exec(&["/bin/sh", "-c", "exec /bin/sleep 1m"]), Some(60), true),
            (exec(&["sh", "-c", "nginx -s quit; sleep 20"]), Some(20), false),
            (exec(&["sh", "-c", "sleep 10 && nginx -s quit"]), Some(10), false),
            (exec(&["/wait-shutdown"]), None, false),
            (exec(&["sh", "-c", "sleep $DELAY"]), None, false),
            (Hook::Sleep { seconds: 7 }, Some(7), false),
            (Hook::Http { path: "/stop".to_owned() }, None, false),
        ];
        for (hook, seconds, only) in slept {
            assert_eq!((hook.seconds(), hook.is_exec_sleep()), (seconds, only), "{hook:?}");
        }
    }
}
