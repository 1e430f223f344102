//! Requests to the API server that keep JSON as it is, so that no object can spoil the reading of another, and that never
//! wait for ever: a connection whose peer has gone silent looks like one on which nothing happens.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http::{Request, StatusCode, header::ACCEPT};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use serde_json::Value;
use tokio::time::timeout;

/// The API server answers a request's head at once, a watch's too.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
const BODY_LIMIT: Duration = Duration::from_secs(30);
/// More than any page needs whose objects are of a sane size; with larger ones, pages get smaller.
const MAX_BODY: usize = 64 << 20;
/// etcd refuses objects above 1.5 MB; as JSON they may be a few times that.
const MAX_LINE: usize = 16 << 20;
/// As many events at once.
const MAX_LINES: usize = 512;
/// Of a refusal that is not a Status.
const MAX_MESSAGE: usize = 300;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    MetadataList,
    Metadata,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no permission: {0}")]
    Forbidden(String),
    #[error("not found")]
    NotFound,
    #[error("the resource version is too old")]
    Gone,
    #[error("the API server answered {0}: {1}")]
    Refused(u16, String),
    #[error("no sign of life from the API server for {0:?}")]
    Silent(Duration),
    #[error("cannot reach the API server: {0}")]
    Unreachable(String),
    #[error("the answer is larger than {} MiB", MAX_BODY >> 20)]
    TooLarge,
    #[error("the answer cannot be read: {0}")]
    Garbage(String),
}

/// The lines of an answer that does not end, as they come.
#[derive(Debug)]
pub(super) struct Lines<B = Body> {
    body: B,
    buffer: BytesMut,
    /// Up to here the buffer has no line end.
    searched: usize,
    ended: bool,
    failure: Option<Failure>,
}

/// One JSON document.
pub(super) async fn get(client: &kube::Client, uri: &str, form: Form) -> Result<Value, Failure> {
    let body = send(client, uri, form).await?;
    let bytes = collect(body, MAX_BODY).await?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::Garbage(error.to_string()))
}

/// A watch: the answer's head has come.
pub(super) async fn open(client: &kube::Client, uri: &str, form: Form) -> Result<Lines, Failure> {
    Ok(Lines {
        body: send(client, uri, form).await?,
        buffer: BytesMut::new(),
        searched: 0,
        ended: false,
        failure: None,
    })
}

async fn send(client: &kube::Client, uri: &str, form: Form) -> Result<Body, Failure> {
    let accept = match form {
        Form::Whole => "application/json",
        Form::MetadataList => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        Form::Metadata => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    };
    let request = Request::get(uri)
        .header(ACCEPT, accept)
        .body(Body::empty())
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    let response = timeout(HEAD_LIMIT, client.send(request))
        .await
        .map_err(|_| Failure::Silent(HEAD_LIMIT))?
        .map_err(|error| Failure::Unreachable(chain(&error)))?;
    let (head, body) = response.into_parts();
    if head.status.is_success() {
        return Ok(body);
    }
    let bytes = collect(body, MAX_LINE).await.unwrap_or_default();
    let status = serde_json::from_slice::<Value>(&bytes).ok();
    Err(refusal(head.status, status.as_ref(), &bytes))
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Failure> {
    let collected = timeout(BODY_LIMIT, Limited::new(body, limit).collect())
        .await
        .map_err(|_| Failure::Silent(BODY_LIMIT))?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
        Err(error) => Err(Failure::Unreachable(chain(&*error))),
    }
}

fn refusal(code: StatusCode, status: Option<&Value>, body: &[u8]) -> Failure {
    let message = status
        .and_then(|status| status.get("message")?.as_str())
        .map_or_else(
            || String::from_utf8_lossy(body).trim().to_owned(),
            str::to_owned,
        );
    Failure::of(code.as_u16(), message.chars().take(MAX_MESSAGE).collect())
}

/// An error with its causes; a cause that the text already tells is left out.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

// === impl Failure ===

impl Failure {
    fn of(code: u16, message: String) -> Self {
        match code {
            403 => Self::Forbidden(message),
            404 => Self::NotFound,
            410 => Self::Gone,
            _ => Self::Refused(code, message),
        }
    }

    /// From the Status in an event of type `ERROR`.
    pub(super) fn of_status(status: &Value) -> Self {
        let code = status.get("code").and_then(Value::as_u64).unwrap_or(500);
        let message = status.get("message").and_then(Value::as_str);
        Self::of(
            u16::try_from(code).unwrap_or(500),
            message.unwrap_or_default().to_owned(),
        )
    }

    /// Whether the API server cannot answer now, whatever it is asked.
    pub(super) fn is_away(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Silent(_) => true,
            Self::Refused(code, _) => *code == 429 || *code >= 500,
            _ => false,
        }
    }

    /// Whether to begin with a list again, because what was reached says nothing any more.
    pub(super) fn needs_list(&self) -> bool {
        matches!(
            self,
            Self::Gone | Self::NotFound | Self::Garbage(_) | Self::TooLarge | Self::Refused(400, _)
        )
    }
}

// === impl Lines ===

impl<B> Lines<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Error,
{
    /// The lines that are there, waiting for the first. None: the answer has ended.
    pub(super) async fn ready(&mut self) -> Result<Vec<Bytes>, Failure> {
        let mut lines = Vec::new();
        loop {
            self.take(&mut lines)?;
            if lines.len() >= MAX_LINES || self.ended {
                break;
            }
            let frame = if lines.is_empty() {
                if let Some(failure) = self.failure.take() {
                    return Err(failure);
                }
                self.body.frame().await
            } else {
                match self.body.frame().now_or_never() {
                    Some(frame) => frame,
                    None => break,
                }
            };
            match frame {
                None => self.ended = true,
                Some(Ok(frame)) => {
                    self.buffer
                        .extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                Some(Err(error)) => {
                    // What came before it counts.
                    let failure = Failure::Unreachable(chain(&error));
                    if lines.is_empty() {
                        return Err(failure);
                    }
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        Ok(lines)
    }

    /// Moves whole lines out of the buffer.
    fn take(&mut self, lines: &mut Vec<Bytes>) -> Result<(), Failure> {
        while lines.len() < MAX_LINES {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(length) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                break;
            };
            let mut line = self.buffer.split_to(self.searched + length + 1);
            line.truncate(self.searched + length);
            self.searched = 0;
            if !line.iter().all(u8::is_ascii_whitespace) {
                lines.push(line.freeze());
            }
        }
        if self.searched > MAX_LINE {
            return Err(Failure::TooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    type Frames = StreamBody<stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

    fn lines(chunks: &[&'static str]) -> Lines<Frames> {
        let frame = |chunk: &&'static str| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())));
        let frames: Vec<_> = chunks.iter().map(frame).collect();
        Lines {
            body: StreamBody::new(stream::iter(frames)),
            buffer: BytesMut::new(),
            searched: 0,
            ended: false,
            failure: None,
        }
    }

    #[tokio::test]
    async fn lines_are_put_together_whatever_the_frames() {
        let table: &[&[&str]] = &[
            &["one\ntwo\nthree\n"],
            &["o", "ne", "\n", "two\nth", "ree\n"],
            &["one\n\n \ntwo\n", "three\n", "and half a li"],
        ];
        for chunks in table {
            let mut reading = lines(chunks);
            let mut all = Vec::new();
            loop {
                let ready = reading.ready().await.unwrap();
                if ready.is_empty() {
                    break;
                }
                all.extend(ready);
            }
            assert_eq!(all, ["one", "two", "three"], "from {chunks:?}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_given_up() {
        static MUCH: [u8; 1 << 20] = [b'x'; 1 << 20];
        let chunk = std::str::from_utf8(&MUCH).unwrap();
        let failure = lines(&[chunk; 18]).ready().await.unwrap_err();
        assert!(matches!(failure, Failure::TooLarge), "{failure}");
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let status = serde_json::json!({"kind": "Status", "message": "secrets is forbidden"});
        let failure = refusal(StatusCode::FORBIDDEN, Some(&status), b"");
        assert_eq!(failure.to_string(), "no permission: secrets is forbidden");
        let failure = refusal(StatusCode::BAD_GATEWAY, None, b"<html>\n");
        assert_eq!(failure.to_string(), "the API server answered 502: <html>");
    }
}
