//! Some of the requests as spans: the kind of request and its status, nothing of what was sent, and not who sent it.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::Method;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::EXPORT;

/// A request that was chosen.
pub struct Request(Span);

/// Begins a span for every hundredth request; `None` for the others, and where nothing is exported.
#[must_use]
pub fn request(method: &Method, path: &str) -> Option<Request> {
    let export = EXPORT.get()?;
    if !SEEN.fetch_add(1, Ordering::Relaxed).is_multiple_of(ONE_IN) {
        return None;
    }
    let (method, route) = (method_name(method), route(path));
    let attributes = [KeyValue::new("http.request.method", method), KeyValue::new("http.route", route)];
    let span = SpanBuilder::from_name(format!("{method} {route}")).with_kind(SpanKind::Server).with_attributes(attributes);
    Some(Request(span.start_with_context(&export.tracer, &Context::new())))
}

impl Request {
    /// It was answered with this status.
    pub fn answered(mut self, status: u16) {
        self.0.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        self.0.end();
    }
}

/// Strangers choose neither names nor how many there are.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "_OTHER",
    }
}

fn route(path: &str) -> &'static str {
    let fixed = ["/add", "/entries", "/entries/batch", "/lookup", "/checkpoint", "/frozen", "/metrics", "/healthz"];
    match fixed.into_iter().find(|route| *route == path) {
        Some(route) => route,
        None if path.starts_with("/tile/") => "/tile/{path}",
        None if path.starts_with("/manifest/") => "/manifest/{root}",
        None => "/{other}",
    }
}

static SEEN: AtomicU64 = AtomicU64::new(0);
const ONE_IN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_few_and_none_is_a_strangers() {
        assert_eq!((route("/add"), route("/entries/batch")), ("/add", "/entries/batch"));
        assert_eq!((route("/tile/0/000"), route("/manifest/00ff")), ("/tile/{path}", "/manifest/{root}"));
        assert_eq!((route("/admin?key=secret"), method_name(&Method::from_bytes(b"SECRET").unwrap())), ("/{other}", "_OTHER"));
        assert!(request(&Method::GET, "/add").is_none(), "nothing is exported here");
    }
}
