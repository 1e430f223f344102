//! The archive of the plugin, and the manifest that krew installs it by.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

/// What a program prints; fails if it does.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that a platform of the manifest takes out of its archive.
fn files(platform: &Value) -> BTreeSet<&str> {
    let files = platform["files"].as_array().unwrap().iter();
    files.map(|file| file["from"].as_str().unwrap()).collect()
}

#[test]
fn the_manifest_of_krew_names_what_is_in_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(root().join("tools/plugin-archive.sh"))
        .args(["archive", env!("CARGO_BIN_EXE_kubectl-postern")])
        .env("POSTERN_PLUGIN_DIR", folder.path()));
    let manifest = fs::read_to_string(folder.path().join("postern.yaml")).unwrap();
    assert!(
        !manifest.contains("{{"),
        "everything is filled in: {manifest}"
    );
    let manifest: Value = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(
        manifest["spec"]["version"],
        concat!("v", env!("CARGO_PKG_VERSION"))
    );
    // krew makes `kubectl NAME` of the name, and links `bin` as that.
    assert_eq!(manifest["metadata"]["name"], "postern");
    let [platform] = &manifest["spec"]["platforms"].as_array().unwrap()[..] else {
        panic!("one platform: {manifest}");
    };
    let uri = platform["uri"].as_str().unwrap();
    let name = uri.rsplit('/').next().unwrap();
    let labels = &platform["selector"]["matchLabels"];
    let of_platform = format!(
        "kubectl-postern-{}-{}.tar.gz",
        labels["os"].as_str().unwrap(),
        labels["arch"].as_str().unwrap()
    );
    assert_eq!(name, of_platform);
    let archive = folder.path().join(name);
    let sum = run(Command::new("sha256sum").arg(&archive));
    let sum = sum.split(' ').next().unwrap();
    assert_eq!(platform["sha256"], sum);
    let beside = fs::read_to_string(folder.path().join(format!("{name}.sha256"))).unwrap();
    assert_eq!(beside, format!("{sum}  {name}\n"));

    let listed = run(Command::new("tar").arg("-tzf").arg(&archive));
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), files(platform));
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path()));
    let bin = platform["bin"].as_str().unwrap();
    assert!(files(platform).contains(bin));
    let program = folder.path().join(bin);
    let said = run(Command::new(&program).args(["explain", "PST2007", "-o", "name"]));
    assert_eq!(said, "PST2007\n");
    // What kubectl asks for completion finds the plugin in the PATH.
    let asked = run(Command::new(folder.path().join("kubectl_complete-postern"))
        .arg("sta")
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display())));
    assert!(asked.starts_with("status\t"), "{asked}");
}

/// Whatever the platform: the archives differ in the program only.
#[test]
fn the_manifest_of_krew_says_the_same_of_all_platforms() {
    let text = fs::read_to_string(root().join("dist/krew.yaml")).unwrap();
    let filled = text
        .lines()
        .map(|line| match line.trim().strip_prefix("{{addURIAndSha \"") {
            Some(rest) => format!("      uri: {}", rest.split('"').next().unwrap()),
            None => line.replace("{{ .TagName }}", "v1"),
        });
    let filled: Vec<_> = filled.collect();
    let manifest: Value = serde_saphyr::from_str(&filled.join("\n")).unwrap();
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let labels = &platform["selector"]["matchLabels"];
        let end = format!("-{}-{}.tar.gz", labels["os"], labels["arch"]).replace('"', "");
        assert!(
            platform["uri"].as_str().unwrap().ends_with(&end),
            "{platform}"
        );
        assert_eq!(files(platform), files(&platforms[0]));
        assert_eq!(platform["bin"], "kubectl-postern");
    }
}
