//! A certificate for a bastion on this machine.

use std::path::Path;
use std::process::Command;

/// A certificate for 127.0.0.1, `cert.pem` with `key.pem`, by the authority `ca.pem`.
pub fn certificate(dir: &Path) {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).output().expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let (ca, ca_key, cert, key, request) = (at("ca.pem"), at("ca.key"), at("cert.pem"), at("key.pem"), at("csr"));
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(&[&new[..], &["-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", &ca_key, "-out", &ca]].concat());
    let named = ["-subj", "/CN=bastion", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &request];
    openssl(&[&new[..], &named[..]].concat());
    let sign = ["x509", "-req", "-days", "2", "-copy_extensions", "copy", "-CA", &ca, "-CAkey", &ca_key, "-in", &request, "-out", &cert];
    openssl(&sign);
    Command::new("chmod").args(["600", &key]).status().unwrap();
}
