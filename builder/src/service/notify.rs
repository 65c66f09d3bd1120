//! Telling systemd how far the service is (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

/// Sends a state such as `READY=1` to the socket that systemd names. Without one, or if it is gone, nothing happens: the service works all
/// the same.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.send_to(state.as_bytes(), path);
    }
}
