//! The image: made twice from one program it is the same to the byte, and there is nothing in it but what it needs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::cluster::file;

/// What may be in the image beside libraries, which a build for tests needs and a release does not.
const FILES: &[&str] = &[
    "./etc/group",
    "./etc/passwd",
    "./etc/ssl/certs/ca-certificates.crt",
    "./postern",
];

/// Makes the archive in a folder; returns the digest that is printed.
fn archive(folder: &Path) -> String {
    let made = Command::new(file("tools/image.sh"))
        .arg("archive")
        .arg(folder.join("image.tar"))
        .arg(env!("CARGO_BIN_EXE_postern"))
        .env("POSTERN_IMAGE_DIR", folder.join("work"))
        .env("POSTERN_IMAGE", "postern:twice")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn tar(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tar {arguments:?}: {said}");
    output.stdout
}

#[test]
fn the_same_program_gives_the_same_image_and_no_shell_is_in_it() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let digests = folders.each_ref().map(|folder| archive(folder.path()));
    assert_eq!(digests[0], digests[1]);
    let bytes = folders
        .each_ref()
        .map(|folder| fs::read(folder.path().join("image.tar")).unwrap());
    assert!(bytes[0] == bytes[1], "the archives must be the same");

    let folder = folders[0].path();
    let image = folder.join("image.tar").display().to_string();
    let manifest: Value = serde_json::from_slice(&tar(&["-xOf", &image, "manifest.json"])).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], "postern:twice");
    let name = manifest[0]["Config"].as_str().unwrap();
    let config: Value = serde_json::from_slice(&tar(&["-xOf", &image, name])).unwrap();
    let config = &config["config"];
    assert_eq!(config["User"], "65532:65532", "{config:#}");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/postern"]));
    assert_eq!(config["Cmd"], serde_json::json!(["serve"]));
    let environment = config["Env"].to_string();
    assert!(
        environment.contains("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"),
        "{config:#}"
    );

    let layer = folder.join("work/layer.tar").display().to_string();
    let listed = String::from_utf8(tar(&["-tf", &layer])).unwrap();
    let files: Vec<_> = listed
        .lines()
        .filter(|path| !path.ends_with('/') && !path.starts_with("./lib"))
        .collect();
    assert_eq!(files, FILES);
}
