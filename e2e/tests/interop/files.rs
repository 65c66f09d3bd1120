//! A static file server over this run's directory: python's.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::ours::url;
use crate::root::{Root, free_address};

/// Killed when dropped.
pub struct Files {
    child: Child,
    address: SocketAddr,
}

impl Files {
    /// Serves the run's directory.
    pub fn start(root: &Root) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut python = Command::new("python3");
        python.args(["-m", "http.server", "--bind", "127.0.0.1", &address.port().to_string(), "--directory"]).arg(root.at("."));
        let child = python.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let files = Self { child, address };
        e2e::wait_until(|| std::net::TcpStream::connect(address).is_ok());
        Ok(files)
    }

    /// Its address.
    pub fn url(&self) -> String {
        url(self.address)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
