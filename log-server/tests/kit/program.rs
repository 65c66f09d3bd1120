//! The real program on a port of its own.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running log; ended when dropped.
pub struct Program {
    child: Child,
    pub url: String,
}

impl Program {
    /// Starts `tally-log serve` with these variables in its environment, and waits until it is ready.
    pub fn serve(dir: &Path, policy: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tally-log"));
        command.arg("serve").arg("--dir").arg(dir).args(["--listen", "127.0.0.1:0", "--policy"]).arg(policy);
        let mut child = command.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it is ready");
        Self { url: format!("http://{address}"), child }
    }

    /// Status and text.
    pub fn get(&self, path: &str) -> (u16, String) {
        let output = Command::new("curl").args(["-s", "-w", "%{stderr}%{http_code}"]).arg(format!("{}/{path}", self.url)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stderr).parse().unwrap(), text(&output.stdout))
    }

    /// Adds entries to an open log, all at a time.
    pub fn add(&self, count: usize) {
        let client = reqwest::Client::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let statuses = runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..count {
                let request = client.post(format!("{}/add", self.url)).body(format!("content of entry {number}"));
                tasks.spawn(async move { request.send().await.unwrap().status().as_u16() });
            }
            tasks.join_all().await
        });
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
