//! Taking over results from a server that fails for one package, and addresses that are nobody's business. What a real rebuilderd signs is tried
//! in `e2e/tests/rebuilds.rs`.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use serde_json::Value;

/// Answers each path with what stands beside it, and others with an error of its own; the address.
fn serve(answers: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let asked = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
            let known = answers.iter().find(|(path, _)| asked.starts_with(path) && !asked[path.len()..].contains('/'));
            let (status, body) = known.map_or(("500 Broken", "no such luck"), |(_, body)| ("200 OK", body.as_str()));
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            // The client may have gone.
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}

/// The example of RFC 8410, section 10.1.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

#[test]
fn one_package_that_fails_ends_no_import() {
    let dir = tempfile::tempdir().unwrap();
    support::builder(dir.path(), "b");
    let (config, key) = (dir.path().join("b.toml"), dir.path().join("key.pem"));
    fs::write(&config, "dir = \"b\"\nsuite = \"bookworm\"\nkeyring = \"k\"\n").unwrap();
    fs::write(&key, KEY).unwrap();
    let package = |id: u32, name: &str| {
        format!(
            r#"{{"id":{id},"name":"{name}","version":"1","distribution":"debian","architecture":"all","status":"GOOD","build_id":{id},"artifact_id":{id},"attestation_log_id":{id}}}"#
        )
    };
    let address = serve(vec![
        ("/api/v1/packages/binary", format!(r#"{{"records":[{},{}]}}"#, package(1, "first"), package(2, "second"))),
        ("/api/v1/builds/2", r#"{"name":"second","version":"1"}"#.to_owned()),
        ("/api/v1/builds/2/artifacts/2/attestation", "{}".to_owned()),
    ]);
    let import = |url: &str| {
        let (config, key) = (config.display().to_string(), key.display().to_string());
        support::tally_builder(&["import-rebuilderd", "--config", &config, "--key", &key, "--no-send", "--json", url], 60)
    };
    let output = import(&format!("http://{address}"));
    assert_eq!(output.status.code(), Some(1), "{}", support::text(&output));
    let told: Vec<Value> = String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors: Vec<&str> = told.iter().map(|line| line["error"].as_str().unwrap()).collect();
    assert!(errors.len() == 2 && errors[0].contains("status 500") && errors[1].contains("no signed in-toto link"), "{errors:?}");
    let output = import(&format!("http://user:secret@{address}"));
    let text = support::text(&output);
    assert!(output.status.code() == Some(10) && text.contains("hint") && !text.contains("secret"), "{text}");
}
