//! TLS of both ends: 1.3 alone between backend and bastion, because only that hides the backend's certificate from the network.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer as TlsSigner, SigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible, RootCertStore,
    ServerConfig, SignatureAlgorithm, SignatureScheme, version,
};
use tlog::{KeyKind, Signer};

use super::certificate::{SPKI_PREFIX, self_signed};
use super::{ALPN, KeyHash};

/// The key by which a backend is known to a bastion.
#[derive(Clone)]
pub struct Identity {
    signer: Arc<dyn Signer>,
    public: [u8; 32],
}

impl Identity {
    /// A signer of type 01: its signatures are plain Ed25519. `None` for other types.
    #[must_use]
    pub fn new(signer: Arc<dyn Signer>) -> Option<Self> {
        let public = (signer.key().kind() == KeyKind::Ed25519).then(|| signer.key().public().try_into().ok())??;
        Some(Self { signer, public })
    }

    /// The backend's name in paths.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.public)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({})", self.hash())
    }
}

impl SigningKey for Identity {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn TlsSigner>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl TlsSigner for Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signer.sign(message).map_err(|_| Error::General("the backend's key did not sign".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// What a backend dials a bastion with.
///
/// # Errors
/// If the key does not sign.
pub fn backend_config(identity: &Identity, roots: RootCertStore) -> Result<ClientConfig, Error> {
    let certificate =
        self_signed(&*identity.signer, &identity.public).map_err(|_| Error::General("the backend's key did not sign".to_owned()))?;
    let key = CertifiedKey::new(vec![CertificateDer::from(certificate)], Arc::new(identity.clone()));
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13])?;
    let mut config = builder.with_root_certificates(roots).with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// What a bastion accepts backends with: any Ed25519 certificate whose key signs the handshake. Whether the key is allowed is asked after.
///
/// # Errors
/// If certificate and key do not fit.
pub fn bastion_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&version::TLS13])?;
    let mut config = builder.with_client_cert_verifier(Arc::new(AnyEd25519(provider()))).with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would not show its key again.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What a bastion serves everybody else with.
///
/// # Errors
/// If certificate and key do not fit.
pub fn public_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The key in a backend's certificate, and its hash; `None` if it is not Ed25519.
pub(super) fn key_hash(certificate: &CertificateDer<'_>) -> Option<KeyHash> {
    let spki: SubjectPublicKeyInfoDer<'static> = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    let key = spki.as_ref().strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(KeyHash::of)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Takes any certificate with an Ed25519 key; the handshake proves that the backend has it.
#[derive(Debug)]
struct AnyEd25519(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyEd25519 {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(&self, end: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        match key_hash(end) {
            Some(_) => Ok(ClientCertVerified::assertion()),
            None => Err(CertificateError::Other(OtherError(Arc::new(std::io::Error::other("the key is not Ed25519")))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
