//! Character sets of the server as text.
//!
//! Owns which of them are read and how. What is not read becomes base64, as bytes do.

use std::collections::HashMap;
use std::sync::Arc;

use encoding_rs::Encoding;
use tidemill_dsl::value::Value;

use super::value::base64;

/// How the bytes of a column become text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Charset {
    /// Bytes: base64.
    Binary,
    /// utf8mb4, utf8mb3, ascii.
    Utf8,
    /// Four bytes each, the highest first.
    Utf32,
    /// One that the encoding library knows.
    Other(&'static Encoding),
    /// One that is not read: base64.
    Unread,
}

impl Charset {
    /// By the name that the server gives it.
    pub(super) fn named(name: &str) -> Charset {
        let encoding = match name {
            "binary" => return Charset::Binary,
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => return Charset::Utf8,
            "utf32" => return Charset::Utf32,
            "latin1" | "cp1252" => encoding_rs::WINDOWS_1252,
            "latin2" => encoding_rs::ISO_8859_2,
            "latin5" => encoding_rs::WINDOWS_1254,
            "latin7" => encoding_rs::ISO_8859_13,
            "greek" => encoding_rs::ISO_8859_7,
            "hebrew" => encoding_rs::ISO_8859_8,
            "cp1250" => encoding_rs::WINDOWS_1250,
            "cp1251" => encoding_rs::WINDOWS_1251,
            "cp1256" => encoding_rs::WINDOWS_1256,
            "cp1257" => encoding_rs::WINDOWS_1257,
            "cp866" => encoding_rs::IBM866,
            "koi8r" => encoding_rs::KOI8_R,
            "koi8u" => encoding_rs::KOI8_U,
            "macroman" => encoding_rs::MACINTOSH,
            "tis620" => encoding_rs::WINDOWS_874,
            "gbk" | "gb2312" => encoding_rs::GBK,
            "gb18030" => encoding_rs::GB18030,
            "big5" => encoding_rs::BIG5,
            "sjis" | "cp932" => encoding_rs::SHIFT_JIS,
            "ujis" | "eucjpms" => encoding_rs::EUC_JP,
            "euckr" => encoding_rs::EUC_KR,
            "ucs2" | "utf16" => encoding_rs::UTF_16BE,
            "utf16le" => encoding_rs::UTF_16LE,
            _ => return Charset::Unread,
        };
        Charset::Other(encoding)
    }

    /// Text, else base64: also of text that is not valid in its set.
    pub(super) fn value(self, bytes: &[u8]) -> Value {
        match self.text(bytes) {
            Some(text) => Value::String(text),
            None => base64(bytes),
        }
    }

    /// Text, if the bytes are text of the set.
    pub(super) fn text(self, bytes: &[u8]) -> Option<Arc<str>> {
        match self {
            Charset::Binary | Charset::Unread => None,
            Charset::Utf8 => std::str::from_utf8(bytes).ok().map(Arc::from),
            Charset::Utf32 => {
                let (letters, rest) = bytes.as_chunks::<4>();
                let read = |four: &[u8; 4]| char::from_u32(u32::from_be_bytes(*four));
                let text: Option<String> = letters.iter().map(read).collect();
                text.filter(|_| rest.is_empty()).map(Arc::from)
            }
            Charset::Other(encoding) => {
                let (text, bad) = encoding.decode_without_bom_handling(bytes);
                (!bad).then(|| Arc::from(&*text))
            }
        }
    }

    /// Whether it holds bytes and no text.
    pub(super) fn is_binary(self) -> bool {
        matches!(self, Charset::Binary)
    }
}

/// The character sets of a server by the numbers of its collations, which differ from server to server.
#[derive(Clone, Debug, Default)]
pub(super) struct Charsets(HashMap<u64, Charset>);

impl Charsets {
    /// From the server's own list: number of the collation and name of its character set.
    pub(super) fn listed(list: impl IntoIterator<Item = (u64, String)>) -> Charsets {
        Charsets(list.into_iter().map(|(id, name)| (id, Charset::named(&name))).collect())
    }

    /// The set of a collation. Those of MariaDB from 2048 on are families of 256 for each set.
    pub(super) fn of(&self, collation: u64) -> Charset {
        if let Some(known) = self.0.get(&collation) {
            return *known;
        }
        match collation {
            63 => Charset::Binary,
            2048..2560 => Charset::Utf8,
            2560..3072 => Charset::named("utf16"),
            3072..3328 => Charset::Utf32,
            _ => Charset::Unread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text() {
        let check = |name: &str, bytes: &[u8], expected: &str| {
            let found = Charset::named(name).value(bytes);
            assert_eq!(found.as_str(), Some(expected), "{name}");
        };
        check("utf8mb4", "Grüße 🌊".as_bytes(), "Grüße 🌊");
        check("latin1", b"Gr\xfc\xdfe \x80", "Grüße €");
        check("cp1251", b"\xcc\xe8\xf0", "Мир");
        check("gbk", b"\xc4\xe3\xba\xc3", "你好");
        check("sjis", b"\x93\xfa\x96\x7b", "日本");
        check("euckr", b"\xc7\xd1", "한");
        check("ucs2", b"\x00G\x00r\x00\xfc", "Grü");
        check("utf16", b"\xd8\x3c\xdf\x0a", "🌊");
        check("utf16le", b"G\x00", "G");
        check("utf32", b"\x00\x01\xf3\x0a", "🌊");
        check("binary", b"ab", "YWI=");
        // What is not read, and what is no text of its set.
        check("geostd8", b"ab", "YWI=");
        check("utf8mb4", b"\xff", "/w==");
        check("utf32", b"\x00\x01", "AAE=");
    }

    #[test]
    fn collations_have_sets() {
        let charsets = Charsets::listed([(8, "latin1".to_owned()), (255, "utf8mb4".to_owned())]);
        let text = |collation: u64, bytes: &[u8]| charsets.of(collation).text(bytes);
        assert_eq!(text(8, b"\xfc").as_deref(), Some("ü"));
        assert_eq!(text(2304, "ü".as_bytes()).as_deref(), Some("ü"));
        assert_eq!(text(3072, b"\x00\x00\x00\xfc").as_deref(), Some("ü"));
        assert!(charsets.of(63).is_binary() && text(9999, b"a").is_none());
    }
}
