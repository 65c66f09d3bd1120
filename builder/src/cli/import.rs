//! `import-rebuilderd` on the command line.

use std::path::Path;

use attest::Envelope;
use serde_json::json;

use super::{Exit, advise, exit_of, hinted, interrupted, send, show_outcome};
use crate::config::Config;
use crate::home::Home;
use crate::progress::Progress;
use crate::rebuilderd::link::parse_keys;
use crate::rebuilderd::{ImportError, Listed, Patience, Rebuilderd, Taken};
use crate::run::RunError;
use crate::spool::Spool;

/// Takes over, says and sends.
pub(super) async fn run(
    config: &Config,
    url: &str,
    key: Option<&Path>,
    names: &[String],
    json: bool,
    no_send: bool,
) -> anyhow::Result<Exit> {
    let Some(key) = key else { return show_keys(url).await };
    let text = String::from_utf8(client::cli::read_limited(key, 1 << 16)?).unwrap_or_default();
    let keys = parse_keys(&text).ok_or_else(|| {
        advise(format!("{}: not Ed25519 public keys in PEM", key.display()), "rebuilderd --derive-pubkey FILE prints its own")
    })?;
    let home = Home::open(&config.dir).map_err(hinted)?;
    let lock = home.lock().map_err(hinted)?;
    let signer = home.signer().map_err(hinted)?;
    let progress = Progress::new(json);
    let spool = Spool::new(&home);
    let namespaces: Vec<String> = config.vendors.values().cloned().collect();
    let server = Rebuilderd::new(url, keys).map_err(unavailable)?;
    let work = async {
        let packages = server.packages(names).await.map_err(unavailable)?;
        let (mut counted, mut patience) = (Counted::default(), Patience::default());
        for package in &packages {
            let taken = patience.weigh(server.take(package, &namespaces).await).map_err(unavailable)?;
            if let Taken::Stated(statement) = &taken {
                let envelope = Envelope::sign(statement.encode(), signer.as_ref());
                spool.add(&envelope.map_err(|error| hinted(RunError::Sign(error.to_string())))?).map_err(hinted)?;
            }
            counted.show(package, &taken, json, &progress);
        }
        anyhow::Ok(counted)
    };
    let counted = tokio::select! { counted = work => counted?, () = interrupted() => return Ok(Exit::Interrupted) };
    let Counted { stated, without, refused, failed } = counted;
    progress.line(&format!("{stated} results taken over, {without} without a signed link, {refused} refused, {failed} not to be had"));
    let worst = if refused + failed > 0 { Exit::Incomplete } else { Exit::Done };
    if no_send {
        return Ok(worst);
    }
    let Some(outcome) = send(config, &home, signer.as_ref(), &progress).await? else { return Ok(Exit::Interrupted) };
    drop(lock);
    show_outcome(&outcome, config, json, &progress);
    Ok(if worst == Exit::Done { exit_of(&outcome) } else { worst })
}

#[derive(Default)]
struct Counted {
    stated: usize,
    without: usize,
    refused: usize,
    failed: usize,
}

impl Counted {
    fn show(&mut self, package: &Listed, taken: &Taken, json: bool, progress: &Progress) {
        let name = format!("{} {} {}", package.name, package.version, package.architecture);
        let (counter, line, value) = match taken {
            Taken::Stated(statement) => {
                let purl = &statement.subject.name;
                let value = json!({"purl": purl, "sha256": statement.subject.digest.sha256.to_hex()});
                (&mut self.stated, Some(format!("same      {purl}")), value)
            }
            Taken::NoLink => (&mut self.without, None, json!({"package": name, "result": "no signed link"})),
            Taken::Refused(why) => (&mut self.refused, Some(format!("refused   {name}: {why}")), json!({"package": name, "error": why})),
            Taken::Failed(why) => (&mut self.failed, Some(format!("failed    {name}: {why}")), json!({"package": name, "error": why})),
        };
        *counter += 1;
        match line {
            _ if json => println!("{value}"),
            Some(line) => progress.line(&line),
            None => {}
        }
    }
}

/// The server's own word about its keys is for a person to confirm.
async fn show_keys(url: &str) -> anyhow::Result<Exit> {
    let server = Rebuilderd::new(url, Vec::new()).map_err(unavailable)?;
    for key in server.current_keys().await.map_err(unavailable)? {
        print!("{key}");
    }
    Err(advise(
        "nothing was taken over: no key was given",
        "ask whoever runs the rebuilderd whether the key above is his, and name the file with --key",
    ))
}

fn unavailable(error: ImportError) -> anyhow::Error {
    if error == ImportError::Address {
        return advise(error, "give the address that everybody may know; what opens it to you alone belongs into a proxy of yours");
    }
    advise(error, "check the address: tally-builder import-rebuilderd --help shows one; the API is that of rebuilderd 0.23 and later")
}
