//! Logs: events of the program, to standard error, for people or as JSON lines.
//!
//! A JSON line is flat: `timestamp`, `level`, `target`, `message` and the fields of the event beside each other.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt::MakeWriter};

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{level:?} is not a log level or a list of filters")]
    Level {
        level: String,
        #[source]
        source: ParseError,
    },
    #[error("logging is set up already")]
    Twice,
}

/// Sets logging up for the whole process, and makes panics part of the logs.
pub fn init(format: Format, level: &str) -> Result<(), LogError> {
    let subscriber = subscriber(format, level, io::stderr().is_terminal(), io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let message = message_of(panic.payload());
        tracing::error!(at = at.as_deref(), message, "A task panicked");
    }));
    Ok(())
}

/// The text that a panic was raised with.
pub fn message_of(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn subscriber<W>(
    format: Format,
    level: &str,
    colours: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(level).map_err(|source| LogError::Level {
        level: level.to_owned(),
        source,
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    Ok(match format {
        Format::Text => Box::new(builder.with_ansi(colours).with_target(false).finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: &str) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, level, false, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(listener.port = 8080, "Listening");
            tracing::debug!("Detail");
        });
        let bytes = lines.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_flat() {
        let text = logged(Format::Json, "info");
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "Listening");
        assert_eq!(line["listener.port"], 8080);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn the_level_decides_what_is_written() {
        assert!(!logged(Format::Text, "info").contains("Detail"));
        assert!(logged(Format::Text, "debug").contains("Detail"));
        assert_eq!(logged(Format::Text, "warn"), "");
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused_by_name() {
        let error = subscriber(Format::Text, "postern=loud", false, io::stderr)
            .err()
            .unwrap();
        assert!(error.to_string().contains("postern=loud"), "{error}");
    }
}
