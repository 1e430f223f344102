//! Attempts to take the connections of others, with real sockets and a real gateway: each succeeds where nothing defends, and none
//! in claimed space. The codes that they get are looked at where all attacks are (`tests/it/attacks.rs`).

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::{
    attacks::plan::{ATTACKER, Asked, Attack, Defence, attacks, world},
    client::{Answer, Request, tcp, tls},
    gateway::Gateway,
};

/// Until an attack that takes a share must have had one: of 99 %, chance alone misses so many never.
const TRIES: usize = 20;

/// A server that answers every request with its name, over TLS with a certificate of that name where it is asked so.
fn backend(name: &'static str) -> SocketAddr {
    let config = super::server_config(name);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            thread::spawn(move || answer(stream, name, config));
        }
    });
    address
}

fn answer(mut stream: TcpStream, name: &str, config: Arc<ServerConfig>) -> io::Result<()> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    stream.peek(&mut first)?;
    if first[0] == HANDSHAKE {
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        return say(&mut StreamOwned::new(connection, stream), name);
    }
    say(&mut stream, name)
}

fn say(stream: &mut (impl Read + Write), name: &str) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let length = name.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}"
    )?;
    stream.flush()
}

/// A gateway of everybody's Services, with a port of TCP.
struct Besieged {
    gateway: Gateway,
    defence: Defence,
    written: usize,
}

impl Besieged {
    fn new(defence: Defence) -> Self {
        let services = ["shop", "cart", "web", ATTACKER]
            .map(|name| format!("{name}/own:80={}", backend(name)));
        let mut flags = vec!["--namespace", "postern", "--bind", "6379=127.0.0.1:0"];
        for service in &services {
            flags.extend(["--backend", service]);
        }
        let gateway = Gateway::with_flags(&manifests(defence, None, 0), &flags);
        Self {
            gateway,
            defence,
            written: 0,
        }
    }

    /// Serves the world with an attack, or without any.
    fn serve(&mut self, attack: Option<&Attack>) {
        self.written += 1;
        self.gateway
            .write("case.yaml", &manifests(self.defence, attack, self.written));
        let request = Request::get(&format!("http://mark.example.org/{}/", self.written));
        self.gateway
            .send_until(&request, |answer| answer.status == 200);
    }

    fn answers(&self, attack: &Attack) -> Vec<String> {
        attack.ask.iter().map(|asked| self.answer(asked)).collect()
    }

    /// Who answers, and whose certificate it is.
    fn answer(&self, asked: &Asked) -> String {
        match asked.connection() {
            Some((port, None)) => {
                let mut stream = tcp(self.gateway.address(port)).unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                Answer::read(&mut stream, "GET").unwrap().text()
            }
            Some((port, Some(name))) => self.encrypted(port, name),
            None => self.encrypted(8443, asked.url.split('/').nth(2).unwrap()),
        }
    }

    fn encrypted(&self, port: u16, name: &str) -> String {
        let mut stream = tls(self.gateway.address(port), name).unwrap();
        let certificate = stream.conn.peer_certificates().unwrap()[0].clone();
        write!(
            stream,
            "GET /account/x HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let answer = Answer::read(&mut stream, "GET").unwrap().text();
        format!("{answer} {certificate:?}")
    }

    /// What an attack changes, if anything.
    fn besiege(&mut self, attack: &Attack) -> Option<String> {
        self.serve(None);
        let before = self.answers(attack);
        for _ in 0..if attack.again { 3 } else { 1 } {
            self.serve(None);
            self.serve(Some(attack));
        }
        let answers = std::iter::repeat_with(|| self.answers(attack)).take(TRIES);
        let changed = answers.into_iter().find(|after| *after != before)?;
        assert!(
            changed.iter().all(|answer| answer.starts_with(ATTACKER)),
            "{changed:?}"
        );
        Some(format!("{}: {before:?} became {changed:?}", attack.name))
    }
}

/// The world, an attack, and a Mapping that is served as soon as all of it is.
fn manifests(defence: Defence, attack: Option<&Attack>, number: usize) -> String {
    let mark = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "namespace": "web", "name": "mark", "creationTimestamp": "2026-02-01T00:00:00Z" },
        "spec": { "hostname": "mark.example.org", "prefix": format!("/{number}/"), "service": "own" },
    });
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": { "namespace": "postern", "name": "mark", "creationTimestamp": "2026-02-01T00:00:00Z" },
        "spec": { "hostname": "mark.example.org", "requestPolicy": { "insecure": { "action": "Route" } } },
    });
    let objects = attack.into_iter().flat_map(Attack::objects);
    let all = world(defence)
        .into_iter()
        .chain([mark, host])
        .chain(objects);
    let all: Vec<_> = all.map(|object| object.to_string()).collect();
    all.join("\n---\n")
}

#[test]
fn each_succeeds_where_nothing_defends_and_none_in_claimed_space() {
    let attacks: Vec<_> = attacks()
        .into_iter()
        .filter(Attack::is_of_connections)
        .collect();
    assert!(attacks.len() >= 13, "{} attacks", attacks.len());
    let mut wrong = Vec::new();
    for defence in [Defence::None, Defence::FirstCome, Defence::Claims] {
        let mut besieged = Besieged::new(defence);
        for attack in &attacks {
            let must = match defence {
                Defence::None => true,
                Defence::FirstCome => attack.first_come.as_deref() == Some("taken"),
                Defence::Claims => false,
            };
            let success = besieged.besiege(attack);
            if success.is_some() != must {
                wrong.push(format!("{defence:?}, {}: {success:?}", attack.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
