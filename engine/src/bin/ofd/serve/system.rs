//! What the system allows, looked at once at the start: the limit of open files and the queue of new connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors kept for files, the control socket and the inner workings.
const FILES: u64 = 512;
/// Connections that should be able to wait to be accepted.
const QUEUE: u64 = 1_024;

/// Raises the limit of open files as far as the system lets, and gives the configuration with no more connections than
/// fit into it.
pub(crate) fn fit(config: &Config) -> Config {
    let mut config = config.clone();
    let limit = getrlimit(Resource::Nofile);
    // Without a hard limit, or where raising fails, it stays as it is.
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let room = connections(files);
    let wanted = u64::try_from(config.connections_max).unwrap_or_default();
    if wanted > room {
        tracing::warn!(
            open_files = files,
            connections = room,
            wanted,
            "the limit of open files (ulimit -n, LimitNOFILE) is too low for limits.connections_max: it is lowered"
        );
        config.connections_max = i64::try_from(room).unwrap_or(i64::MAX);
    }
    let queue = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    if let Some(queue) = queue.and_then(|it| it.trim().parse::<u64>().ok()).filter(|it| *it < QUEUE) {
        tracing::warn!(
            somaxconn = queue,
            wanted = QUEUE,
            "net.core.somaxconn is low: registers that all come back at once will be turned away by the system"
        );
    }
    config
}

/// Connections that fit beside the files; half of a very low limit.
fn connections(files: Option<u64>) -> u64 {
    let Some(files) = files else { return u64::MAX };
    files.saturating_sub(FILES).max(files / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log must always find a descriptor: a segment that cannot be opened stops the engine.
    #[test]
    fn files_have_their_descriptors_before_connections() {
        assert_eq!(connections(None), u64::MAX);
        assert_eq!(connections(Some(20_000)), 19_488);
        assert_eq!(connections(Some(1_024)), 512);
        assert_eq!(connections(Some(64)), 32);
        assert_eq!(connections(Some(0)), 1);
    }
}
