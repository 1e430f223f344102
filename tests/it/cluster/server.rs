//! etcd and kube-apiserver on loopback, in a folder of their own.
//!
//! Each program is the child of a shell that waits for the end of its standard input. The other end of that pipe is held by
//! the test process alone, so the programs and the folder go away with it, however it ends.

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use serde_json::Value;
use tokio::time::Instant;

use crate::client::Request;

/// May do anything.
pub(crate) const ADMIN_TOKEN: &str = "admin-of-the-test-cluster";
/// Has the shipped roles and nothing else.
pub(crate) const POSTERN_TOKEN: &str = "postern-of-the-test-cluster";
/// The user with that token, as role bindings name it.
pub(crate) const POSTERN_USER: &str = "postern";
/// Of the ServiceAccount that an Emissary-ingress has left behind.
pub(crate) const EMISSARY_TOKEN: &str = "emissary-of-the-test-cluster";
pub(crate) const EMISSARY_USER: &str = "emissary";

/// Has nothing but what a test gives.
pub(crate) const TEAM_TOKEN: &str = "team-of-the-test-cluster";
/// The user with that token.
pub(crate) const TEAM_USER: &str = "team";

/// The ServiceAccount that the shipped bindings name, and people of two teams, for the guides.
pub(crate) const ACCOUNT_TOKEN: &str = "account-of-the-test-cluster";
pub(crate) const SHOP_TOKEN: &str = "shop-of-the-test-cluster";
pub(crate) const WEB_TOKEN: &str = "web-of-the-test-cluster";

const START_LIMIT: Duration = Duration::from_mins(1);

/// Ends the program when standard input ends: first politely, then not. `$1` is the folder to delete, if any.
const SUPERVISOR: &str = r#"
folder=$1; shift
"$@" </dev/null &
pid=$!
cat >/dev/null
kill "$pid" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "$pid" 2>/dev/null || break
  sleep 0.1
done
kill -9 "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// A running API server.
#[derive(Debug)]
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    etcd_port: u16,
    apiserver: Option<Program>,
    _etcd: Program,
}

/// A program under its supervisor: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    supervisor: Child,
    log: PathBuf,
}

// === impl Server ===

impl Server {
    pub(crate) fn start() -> Self {
        let needed = ["etcd", "kube-apiserver", "kubectl"];
        let programs = programs(&needed, "tests/cluster/build.sh");
        let folder = tempfile::Builder::new()
            .prefix("postern-cluster-")
            .tempdir()
            .unwrap()
            .keep();
        credentials(&folder);
        let (port, etcd_port) = (free_port(), free_port());
        let etcd = start_etcd(&programs, &folder, etcd_port);
        let mut server = Self {
            programs,
            folder,
            port,
            etcd_port,
            apiserver: None,
            _etcd: etcd,
        };
        server.start_apiserver();
        server
    }

    /// Starts the API server again, at the same address and with the same objects.
    pub(crate) fn start_apiserver(&mut self) {
        let folder = &self.folder;
        let file = |name: &str| folder.join(name).display().to_string();
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            // No controller manager makes the service accounts that it would wait for.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            format!("--token-auth-file={}", file("tokens.csv")),
            format!("--tls-cert-file={}", file("server.pem")),
            format!("--tls-private-key-file={}", file("server.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", file("accounts.pub")),
            format!(
                "--service-account-signing-key-file={}",
                file("accounts.key")
            ),
        ];
        let program = Program::start("kube-apiserver", &self.programs, folder, &arguments, None);
        self.apiserver = Some(program);
        self.wait_until_ready();
    }

    /// Whatever a test that failed has left behind.
    pub(crate) fn ensure_apiserver(&mut self) {
        if self.apiserver.is_none() {
            self.start_apiserver();
        }
    }

    pub(crate) fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Runs these controllers of kube-controller-manager.
    pub(crate) fn controllers(&self, names: &str) -> Program {
        let name = "kube-controller-manager";
        let programs = &self.programs;
        assert!(
            programs.join(name).is_file(),
            "{} lacks {name}: build it with `tests/cluster/build.sh`, without KUBEBUILDER_ASSETS",
            programs.display()
        );
        let kubeconfig = self.kubeconfig(ADMIN_TOKEN, "default");
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={names}"),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", free_port()),
        ];
        Program::start(name, programs, &self.folder, &arguments, None)
    }

    /// A kubeconfig file for whoever has this token.
    pub(crate) fn kubeconfig(&self, token: &str, namespace: &str) -> PathBuf {
        let path = self.folder.join(format!("{token}-{namespace}.kubeconfig"));
        let authority = self.folder.join("authority.pem");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n- name: test\n  cluster: {{server: \"https://127.0.0.1:{}\", certificate-authority: {:?}}}\n\
             users:\n- name: test\n  user: {{token: {token:?}}}\n\
             contexts:\n- name: test\n  context: {{cluster: test, user: test, namespace: {namespace:?}}}\n",
            self.port,
            authority.display().to_string(),
        );
        // Another test may be reading it: it is there as a whole or not at all.
        let mut whole = tempfile::NamedTempFile::new_in(&self.folder).unwrap();
        whole.write_all(text.as_bytes()).unwrap();
        whole.persist(&path).unwrap();
        path
    }

    /// The folder with `kubectl` and the other programs.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// A `kubectl` of the administrator.
    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new(self.programs.join("kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig(ADMIN_TOKEN, "default"))
            .env("HOME", &self.folder);
        command
    }

    /// What the API server says of this path, to the administrator.
    pub(crate) fn get(&self, path: &str) -> Result<Value, String> {
        self.send("GET", path, &Value::Null)
    }

    /// Creates an object as `kubectl create --validate=strict` does; `path` is that of the kind.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value, String> {
        let path = format!("{path}?fieldValidation=Strict");
        self.send("POST", &path, object)
    }

    /// Changes the fields of an object that `change` has.
    pub(crate) fn patch(&self, path: &str, change: &Value) -> Result<Value, String> {
        self.send("PATCH", path, change)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, String> {
        self.send("DELETE", path, &Value::Null)
    }

    /// One request of the administrator.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.send_as(ADMIN_TOKEN, method, path, body)
    }

    /// One request of whoever has this token. An error is the message for people.
    pub(crate) fn send_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, String> {
        let url = format!("https://127.0.0.1:{}{path}", self.port);
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = Request::get(&url)
            .method(method)
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", content);
        if !body.is_null() {
            request = request.body(&body.to_string());
        }
        let answer = request
            .try_send((Ipv4Addr::LOCALHOST, self.port).into())
            .map_err(|error| error.to_string())?;
        let said: Value =
            serde_json::from_slice(&answer.body).map_err(|_| format!("{answer:?}"))?;
        if (200..300).contains(&answer.status) {
            return Ok(said);
        }
        let message = said["message"].as_str();
        Err(message.map_or_else(|| answer.text(), ToOwned::to_owned))
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let output = self
                .kubectl()
                .args(["get", "--raw", "/readyz", "--request-timeout=2s"])
                .output()
                .unwrap();
            if output.status.success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "kube-apiserver was not ready after {START_LIMIT:?}: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                self.apiserver
                    .as_ref()
                    .map_or_else(String::new, Program::last_words),
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

// === impl Program ===

impl Program {
    fn start(
        name: &'static str,
        programs: &Path,
        folder: &Path,
        arguments: &[String],
        delete: Option<&Path>,
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(delete.unwrap_or(Path::new("")))
            .arg(programs.join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self {
            name,
            supervisor,
            log,
        }
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(30);
        format!(
            "the end of the log of {}:\n{}",
            self.name,
            lines[from..].join("\n")
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Closes the pipe, which ends the program.
        drop(self.supervisor.stdin.take());
        let _ended = self.supervisor.wait();
    }
}

// === what a server needs ===

fn start_etcd(programs: &Path, folder: &Path, port: u16) -> Program {
    let peer = free_port();
    let arguments = [
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
        format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
    ];
    // The last of the programs to go: it takes the folder with it.
    Program::start("etcd", programs, folder, &arguments, Some(folder))
}

/// The folder with these programs, or a failure that says what to run.
pub(crate) fn programs(needed: &[&str], command: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built =
        env::var_os("POSTERN_K8S_DIR").map_or_else(|| root.join("target/k8s"), PathBuf::from);
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let folders = assets.into_iter().chain([built.join(version(root))]);
    let mut looked = Vec::new();
    for folder in folders {
        let missing: Vec<_> = needed
            .iter()
            .copied()
            .filter(|program| !folder.join(program).is_file())
            .collect();
        if missing.is_empty() {
            return folder;
        }
        looked.push(format!("{} lacks {}", folder.display(), missing.join(", ")));
    }
    panic!(
        "the programs of the test cluster are missing: {}.\n\
         Build them with `{command}` (minutes the first time, then nothing), or set KUBEBUILDER_ASSETS to a \
         folder that holds {}.",
        looked.join("; "),
        needed.join(", "),
    );
}

/// The version of Kubernetes that the wrapper module names.
fn version(root: &Path) -> String {
    let module = root.join("tests/cluster/kubernetes/go.mod");
    let text = fs::read_to_string(module).unwrap();
    let line = text.lines().find_map(|line| {
        line.trim()
            .trim_start_matches("require ")
            .strip_prefix("k8s.io/kubernetes ")
    });
    line.unwrap().split_whitespace().next().unwrap().to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A certificate authority, the server's certificate, the key that signs service accounts, and who has which token.
fn credentials(folder: &Path) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["kubernetes.default.svc".to_owned()]).unwrap();
    let loopback = SanType::IpAddress(Ipv4Addr::LOCALHOST.into());
    server.subject_alt_names.push(loopback);
    let server = server.signed_by(&key, &issuer).unwrap();

    let accounts = KeyPair::generate().unwrap();
    let tokens = format!(
        "{ADMIN_TOKEN},admin,1,system:masters\n{POSTERN_TOKEN},{POSTERN_USER},2\n{TEAM_TOKEN},{TEAM_USER},3\n\
         {ACCOUNT_TOKEN},system:serviceaccount:postern:postern,4\n\
         {SHOP_TOKEN},sam,5,team-shop\n{WEB_TOKEN},wendy,6,team-web\n\
         {EMISSARY_TOKEN},{EMISSARY_USER},7\n"
    );
    let files = [
        ("authority.pem", certificate.pem()),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
        ("accounts.key", accounts.serialize_pem()),
        ("accounts.pub", accounts.public_key_pem()),
        ("tokens.csv", tokens),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}
