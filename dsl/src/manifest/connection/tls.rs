//! `tls` of a connection: whom to trust, and who one is.
//!
//! Owns the fields and their mistakes. Reads no file and no secret.

use std::sync::Arc;

use super::super::read;
use crate::codes as shared;
use crate::reader::{Place, Reader, Sink};

/// `tls`: whom to trust, and who one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities; none: the well-known ones.
    pub ca: Option<Pem>,
    /// The client's own certificate; there together with the key.
    pub certificate: Option<Pem>,
    /// The key of the certificate.
    pub key: Option<Pem>,
    /// The name that the server's certificate must have; none: the host of the URL.
    pub server_name: Option<Arc<str>>,
}

/// Where a text in PEM form is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(Arc<str>),
    /// In a secret.
    Secret(Arc<str>),
}

pub(super) fn read_tls(mut reader: Reader) -> Option<Tls> {
    let sink = reader.sink();
    let mut good = true;
    let mut pem = |key: &'static str| {
        let place = reader.take(key)?;
        let found = read_pem(&place, sink);
        good &= found.is_some();
        found
    };
    let (ca, certificate, key) = (pem("ca"), pem("certificate"), pem("key"));
    let server_name = reader.text("serverName");
    let place = reader.place().clone();
    reader.finish();
    if good && certificate.is_some() != key.is_some() {
        let message = "`certificate` and `key` of tls stand together";
        sink.push(place.error(shared::EXCLUSIVE, message).help("add the other one, or leave both out"));
        return None;
    }
    good.then_some(Tls { ca, certificate, key, server_name })
}

fn read_pem(place: &Place, sink: &Sink) -> Option<Pem> {
    let mut reader = Reader::open(place.clone(), sink, "a file or a secret in PEM form")?;
    let found = read::one_of(&mut reader, &["file", "secret"], "where it is");
    reader.finish();
    match found? {
        ("file", place) => read::some_text(&place, sink).map(Pem::File),
        (_, place) => read::secret_name(&place, sink).map(Pem::Secret),
    }
}
