use std::collections::VecDeque;

use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use tokio::{net::UdpSocket, time::advance};

use super::*;

/// Says what it was told to say, in order, and how often it was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Result<Found, Missing>>>>,
    asked: Arc<Mutex<usize>>,
}

impl Lookup for Script {
    fn lookup(&self, _name: Arc<str>) -> BoxFuture<'static, Result<Found, Missing>> {
        let script = self.clone();
        Box::pin(async move {
            *script.asked.lock() += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
            script
                .answers
                .lock()
                .pop_front()
                .unwrap_or(Err(Missing::Failed("not told".into())))
        })
    }
}

fn resolver(answers: impl IntoIterator<Item = Result<Found, Missing>>) -> (Resolver, Script) {
    let script = Script {
        answers: Arc::new(Mutex::new(answers.into_iter().collect())),
        asked: Arc::default(),
    };
    (Resolver::new(script.clone(), Handle::current()), script)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands in lists with what fails"
)]
fn found(addresses: &[&str], ttl: u64) -> Result<Found, Missing> {
    Ok(Found {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: Duration::from_secs(ttl),
    })
}

fn failed() -> Result<Found, Missing> {
    Err(Missing::Failed("timeout".into()))
}

/// The answer, in short.
async fn ask(resolver: &Resolver, name: &str) -> String {
    match resolver.addresses(&name.into()).await {
        Ok(addresses) => {
            let texts: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            texts.join(" ")
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_for_as_long_as_it_says() {
    let (resolver, script) = resolver([
        found(&["2001:db8::1", "192.0.2.1"], 30),
        found(&["192.0.2.2"], 0),
        found(&["192.0.2.3"], 1_000_000),
        found(&["192.0.2.4"], 30),
    ]);
    let steps = [
        (0, "192.0.2.1 2001:db8::1", 1),
        (29, "192.0.2.1 2001:db8::1", 1),
        (2, "192.0.2.2", 2),
        (0, "192.0.2.2", 2),
        (2, "192.0.2.3", 3),
        (3500, "192.0.2.3", 3),
        (200, "192.0.2.4", 4),
    ];
    for (wait, expected, asked) in steps {
        advance(Duration::from_secs(wait)).await;
        assert_eq!(ask(&resolver, "shop.example").await, expected);
        assert_eq!(*script.asked.lock(), asked);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_stands_in_for_name_servers_that_fail() {
    let gone = || Err(Missing::NotThere(Some(Duration::from_mins(10))));
    let (resolver, script) = resolver([
        found(&["192.0.2.1"], 30),
        failed(),
        failed(),
        found(&["192.0.2.2"], 30),
        failed(),
        failed(),
        gone(),
        gone(),
    ]);
    let steps = [
        (0, "192.0.2.1"),
        (31, "192.0.2.1"),
        (0, "192.0.2.1"),
        (2, "192.0.2.1"),
        (2, "192.0.2.2"),
        (31, "192.0.2.2"),
        (3700, "name servers failed: timeout"),
        (2, "no such name, or it has no address"),
        (11, "no such name, or it has no address"),
    ];
    for (wait, expected) in steps {
        advance(Duration::from_secs(wait)).await;
        assert_eq!(ask(&resolver, "shop.example").await, expected, "{wait}");
    }
    assert_eq!(*script.asked.lock(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once_however_many_wait() {
    let (resolver, script) = resolver([found(&["192.0.2.1"], 30)]);
    let many = (0..50).map(|_| ask(&resolver, "shop.example"));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().all(|answer| answer == "192.0.2.1"));
    assert_eq!(*script.asked.lock(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_cache_does_not_grow_beyond_its_bound() {
    let (resolver, _) = resolver((0..2 * MAX_NAMES).map(|_| found(&["192.0.2.1"], 30)));
    for number in 0..2 * MAX_NAMES {
        let name = format!("{number}.example");
        assert_eq!(ask(&resolver, &name).await, "192.0.2.1");
        assert!(resolver.names.lock().len() <= MAX_NAMES);
    }
    let asking = (0..=MAX_NAMES).map(|number| format!("{number}.example.net").into());
    let asking: Vec<Arc<str>> = asking.collect();
    let (busy, pending): (Vec<_>, Vec<_>) = asking
        .iter()
        .map(|name| resolver.known_or_pending(name))
        .partition(Result::is_ok);
    assert_eq!((busy.len(), pending.len()), (1, MAX_NAMES));
}

/// A name server that knows one name: `shop.example` is 192.0.2.7, for 60 seconds.
async fn name_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut query = [0; 512];
        loop {
            let (length, peer) = socket.recv_from(&mut query).await.unwrap();
            let query = &query[..length];
            // The question ends with its type and class, behind a name that ends with a zero byte.
            let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let known = query[12..end]
                .to_ascii_lowercase()
                .starts_with(b"\x04shop\x07example\0\0\x01");
            let mut answer = query[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x85, 0x80, 0, 1, 0, u8::from(known), 0, 0, 0, 0]);
            if known {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            socket.send_to(&answer, peer).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn name_servers_are_asked_for_the_name_as_it_is() {
    let mut server = NameServerConfig::udp([127, 0, 0, 1].into());
    server.connections[0].port = name_server().await;
    let config = ResolverConfig::from_name_servers(vec![server]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let system = System::of(system::build(builder).unwrap());
    let found = system.lookup("shop.example".into()).await.unwrap();
    assert_eq!(found.addresses, [IpAddr::from([192, 0, 2, 7])]);
    assert_eq!(found.ttl, Duration::from_mins(1));
    let missing = system.lookup("cart.example".into()).await.unwrap_err();
    assert!(matches!(missing, Missing::NotThere(_)), "{missing:?}");
    let nonsense = system.lookup("a..b".into()).await.unwrap_err();
    assert!(matches!(nonsense, Missing::NotThere(_)), "{nonsense:?}");
}
