//! A server that answers by script.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(in super::super) enum Reply {
    /// These bytes, and the connection stays.
    Keep(String),
    /// These bytes, and it is closed.
    Close(String),
    /// Nothing, ever.
    Hang,
    /// These bytes, and then everything that is received.
    Tunnel(String),
}

/// Where the server is, and what it has seen.
#[derive(Clone, Debug)]
pub(in super::super) struct Backend {
    pub(in super::super) address: SocketAddr,
    seen: Rc<RefCell<Vec<String>>>,
    pub(in super::super) accepted: Rc<Cell<usize>>,
    /// Connections that have ended.
    pub(in super::super) ended: Rc<Cell<usize>>,
}

/// A connection as a server has it.
pub(in super::super) struct Tcp(pub(in super::super) TcpStream);

impl Reply {
    pub(in super::super) fn ok(body: &str) -> Self {
        Self::Keep(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

impl Backend {
    /// Answers by the number of the connection and of the request on it, both from 0.
    pub(in super::super) async fn start(script: impl Fn(usize, usize) -> Reply + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self {
            address: listener.local_addr().unwrap(),
            seen: Rc::default(),
            accepted: Rc::default(),
            ended: Rc::default(),
        };
        let (script, server) = (Rc::new(script), backend.clone());
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = server.accepted.get();
                server.accepted.set(number + 1);
                let (script, server) = (script.clone(), server.clone());
                spawn_local(async move {
                    // An end in the middle is what some tests are about.
                    let _ = server.serve(Tcp(stream), number, &*script).await;
                    server.ended.set(server.ended.get() + 1);
                });
            }
        });
        backend
    }

    /// Always the same.
    pub(in super::super) async fn always(reply: Reply) -> Self {
        Self::start(move |_, _| reply.clone()).await
    }

    pub(in super::super) fn upstream(&self) -> Arc<Upstream> {
        to(&[self.address])
    }

    /// The heads of all requests so far.
    pub(in super::super) fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    async fn serve(
        &self,
        mut tcp: Tcp,
        connection: usize,
        script: &impl Fn(usize, usize) -> Reply,
    ) -> io::Result<()> {
        for number in 0.. {
            let head = tcp.head().await?;
            self.seen.borrow_mut().push(head);
            match script(connection, number) {
                Reply::Keep(bytes) => tcp.0.write_all(bytes.as_bytes()).await?,
                Reply::Close(bytes) => return tcp.0.write_all(bytes.as_bytes()).await,
                Reply::Hang => {
                    while tcp.0.read(&mut [0; 1024]).await? > 0 {}
                    return Ok(());
                }
                Reply::Tunnel(bytes) => {
                    tcp.0.write_all(bytes.as_bytes()).await?;
                    let (mut read, mut write) = tcp.0.split();
                    return tokio::io::copy(&mut read, &mut write).await.map(|_| ());
                }
            }
        }
        Ok(())
    }
}

impl Tcp {
    /// Reads a request with a body of known length, and gives the head.
    pub(in super::super) async fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        self.0.read_exact(&mut vec![0; length]).await?;
        Ok(head)
    }
}
