//! What becomes of a connection that is not HTTP.

use std::sync::Arc;

use super::{Answer, Asked, Authority, ConnectionAnswer, ListenerAnswer, Outcome, QuestionError};
use crate::graph::{
    ClientTls, Graph, HostPattern, HostTable, Listener, TcpRoute, wire::TcpMemberView,
};

impl Graph {
    /// Of the Listener that has the port: nothing in front of it says what another port would be for.
    pub(super) fn connection(
        &self,
        asked: &Asked,
        authority: &Authority<'_>,
        mut answer: Answer,
    ) -> Result<Answer, QuestionError> {
        let Some(port) = authority.port() else {
            return Err(QuestionError::Port(authority.host().to_owned()));
        };
        "TCP".clone_into(&mut answer.method);
        answer.path.clear();
        let Some(listener) = self.listener(port) else {
            return Ok(answer.ends(Outcome::NoListener));
        };
        answer.listener = Some(ListenerAnswer {
            name: listener.name.to_string(),
            port,
            instead_of: None,
        });
        if listener.tls {
            answer.sni = asked.sni(authority);
        }
        let sni = answer.sni.as_deref();
        let found = listener.tls.then(|| named(listener, sni)).flatten();
        let any = listener.tcp.any.as_deref().map(|route| (None, route));
        Ok(match found.or(any) {
            Some((host, route)) => taken(answer, host, route),
            None if listener.http => answer.ends(Outcome::OnlyRequests),
            None => answer.ends(Outcome::NoConnection),
        })
    }
}

/// The route of the name that a handshake asks for, and the names that it has.
pub(super) fn named<'l>(
    listener: &'l Listener,
    sni: Option<&str>,
) -> Option<(Option<String>, &'l TcpRoute)> {
    let route = listener.tcp.named(sni)?;
    Some((names(&listener.tcp.by_name, route), route))
}

/// Those under which a route stands in the table.
fn names(table: &HostTable<Option<Arc<TcpRoute>>>, route: &Arc<TcpRoute>) -> Option<String> {
    let is_it = |found: &Option<Arc<TcpRoute>>| {
        { found.as_ref() }.is_some_and(|found| Arc::ptr_eq(found, route))
    };
    let mut entries = table.entries();
    let (pattern, _): (&HostPattern, _) = entries.find(|(_, found)| is_it(found))?;
    Some(pattern.to_string())
}

/// A TCPMapping has it.
pub(super) fn taken(mut answer: Answer, host: Option<String>, route: &TcpRoute) -> Answer {
    answer.connection = Some(ConnectionAnswer {
        host,
        terminates_tls: route.client_tls == ClientTls::Terminate,
    });
    let members = route.members.iter().map(TcpMemberView::of).collect();
    answer.ends(Outcome::Connection { members })
}
