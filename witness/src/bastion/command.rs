//! What the command line says about bastions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use client::cli::{Advice, announce, listen, read_limited};
use client::keys;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

use super::allow::{self, Allowed};
use super::backend::Dial;
use super::server::Bastion;
use super::{Identity, backend_config, bastion_config, public_config};

/// Largest file of certificates in bytes.
const MAX_PEM: u64 = 4 << 20;

/// How `serve` reaches bastions.
#[derive(Debug, clap::Args)]
pub struct Through {
    /// Also serve through this bastion (C2SP https-bastion); may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub bastion: Vec<String>,
    /// Trust these certificates (PEM) for the bastions, instead of the system's
    #[arg(long, value_name = "FILE", requires = "bastion")]
    bastion_ca: Option<PathBuf>,
}

impl Through {
    /// The bastions to dial, under this key.
    ///
    /// # Errors
    /// If an address is none, or no root certificate can be read.
    pub fn dials(&self, identity: &Identity) -> anyhow::Result<Vec<Dial>> {
        if self.bastion.is_empty() {
            return Ok(Vec::new());
        }
        let config = backend_config(identity, self.roots()?)?;
        let dial = |address: &String| {
            Dial::new(address, config.clone()).ok_or_else(|| {
                Advice::new(format!("{address:?} is no bastion's address"), "give host and port: bastion.example.org:443").into()
            })
        };
        self.bastion.iter().map(dial).collect()
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let certificates = match &self.bastion_ca {
            Some(path) => certificates(path)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            return Err(Advice::new(
                "there are no root certificates to trust a bastion by",
                "install ca-certificates, or give --bastion-ca",
            )
            .into());
        }
        Ok(roots)
    }
}

/// `tally-witness bastion`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen, for backends and clients alike; port 0 takes any
    #[arg(long)]
    listen: String,
    /// The certificate chain (PEM)
    #[arg(long, value_name = "FILE")]
    tls_cert: PathBuf,
    /// Its private key (PEM), readable by its owner alone
    #[arg(long, value_name = "FILE")]
    tls_key: PathBuf,
    /// Key hashes of the backends that may dial in, one a line; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    backends: PathBuf,
}

impl Arguments {
    /// Serves until it is told to end.
    ///
    /// # Errors
    /// If a file cannot be used, or the address cannot be listened at.
    pub fn run(&self) -> anyhow::Result<()> {
        let chain = certificates(&self.tls_cert)?;
        let text = keys::read_secret(&self.tls_key)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| Advice::new(format!("{}: {error}", self.tls_key.display()), "give a private key in PEM"))?;
        let misfit = |error| Advice::new(format!("certificate and key: {error}"), "give the chain and the key that belong together");
        let backend = bastion_config(chain.clone(), key.clone_key()).map_err(misfit)?;
        let public = public_config(chain, key).map_err(misfit)?;
        let bastion = Bastion::new(self.allowed()?, backend, public);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.serve(bastion))
    }

    async fn serve(&self, bastion: Arc<Bastion>) -> anyhow::Result<()> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut reload = signal(SignalKind::hangup())?;
        let listener = listen(&self.listen).await?;
        announce(&listener.local_addr()?)?;
        let serving = tokio::spawn(Arc::clone(&bastion).serve(listener));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = reload.recv() => match self.allowed() {
                    Ok(allowed) => {
                        info!(backends = allowed.len(), "read the list of backends again");
                        bastion.allow(allowed);
                    }
                    Err(problem) => error!("the list of backends stays as it was: {problem:#}"),
                },
            }
        }
        serving.abort();
        info!("stopped");
        Ok(())
    }

    fn allowed(&self) -> anyhow::Result<Allowed> {
        let bytes = read_limited(&self.backends, allow::MAX_BYTES as u64)?;
        Allowed::parse(&bytes).map_err(|line| {
            let what = format!("{}: line {} is no key hash, or stands there twice", self.backends.display(), line.0);
            Advice::new(what, "a line is the SHA-256 of a backend's Ed25519 key, 64 lowercase hexadecimal digits").into()
        })
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let bytes = read_limited(path, MAX_PEM)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| anyhow::anyhow!("{error}")).with_context(|| format!("reading {}", path.display()))?;
    if certificates.is_empty() {
        return Err(Advice::new(format!("{} holds no certificate", path.display()), "give certificates in PEM").into());
    }
    Ok(certificates)
}
