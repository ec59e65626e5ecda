//! A bucket's notification document: whose entries there are, and what it must be.
//!
//! Pure. Entries of others are kept byte for byte; own ones are known by their id alone, which is a prefix of the
//! Source and the id of the rule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use roxmltree::{Document, Node};

use super::xml::child;

/// What an own entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) arn: Arc<str>,
    pub(super) events: Vec<Arc<str>>,
    pub(super) prefix: Option<Arc<str>>,
    pub(super) suffix: Option<Arc<str>>,
}

/// What a document holds, seen from one Source.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Own entries by the id of their rule. An id that is there twice is seen as wrong.
    pub(super) own: BTreeMap<Arc<str>, Option<Entry>>,
    /// Ids of the others.
    pub(super) foreign: Vec<Arc<str>>,
    /// The others as they stand.
    kept: Vec<String>,
}

impl Seen {
    /// Whether the own entries are just what each rule wants.
    pub(super) fn agrees(&self, rules: impl ExactSizeIterator<Item = Arc<str>>, entry: &Entry) -> bool {
        rules.len() == self.own.len() && rules.into_iter().all(|rule| self.is_right(&rule, entry))
    }

    /// Whether a rule has its entry.
    pub(super) fn is_right(&self, rule: &str, entry: &Entry) -> bool {
        self.own.get(rule).is_some_and(|own| own.as_ref().is_some_and(|own| same(own, entry)))
    }

    /// Whether everything that another look showed is here, whatever it says.
    pub(super) fn shows_all_of(&self, other: &Seen) -> bool {
        other.own.keys().all(|rule| self.own.contains_key(rule))
            && other.foreign.iter().all(|id| self.foreign.contains(id))
    }

    /// The document that keeps the others and has one own entry for each rule.
    pub(super) fn with(&self, own: &str, rules: impl Iterator<Item = Arc<str>>, entry: &Entry) -> String {
        let mut text =
            String::from(r#"<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#);
        self.kept.iter().for_each(|kept| text.push_str(kept));
        for rule in rules {
            write_entry(&mut text, &format!("{own}{rule}"), entry);
        }
        text.push_str("</NotificationConfiguration>");
        text
    }
}

/// Whether two entries say the same. A server may fill in a region that was left out.
fn same(found: &Entry, wanted: &Entry) -> bool {
    let parts = |arn: &str| arn.split(':').map(str::to_owned).collect::<Vec<_>>();
    let (there, mut here) = (parts(&found.arn), parts(&wanted.arn));
    if let (Some(region), Some(filled)) = (here.get_mut(3), there.get(3))
        && region.is_empty()
    {
        region.clone_from(filled);
    }
    there == here
        && found.events == wanted.events
        && found.prefix == wanted.prefix
        && found.suffix == wanted.suffix
}

/// The kind of entry for a target, and of the element that names it.
fn elements(arn: &str) -> (&'static str, &'static str) {
    match arn.split(':').nth(2) {
        Some("sns") => ("TopicConfiguration", "Topic"),
        Some("lambda") => ("CloudFunctionConfiguration", "CloudFunction"),
        _ => ("QueueConfiguration", "Queue"),
    }
}

fn write_entry(text: &mut String, id: &str, entry: &Entry) {
    let (outer, inner) = elements(&entry.arn);
    let _ = write!(text, "<{outer}><Id>{}</Id><{inner}>{}</{inner}>", escape(id), escape(&entry.arn));
    for event in &entry.events {
        let _ = write!(text, "<Event>{}</Event>", escape(event));
    }
    let rules: Vec<_> = [("prefix", &entry.prefix), ("suffix", &entry.suffix)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
        .collect();
    if !rules.is_empty() {
        text.push_str("<Filter><S3Key>");
        for (name, value) in rules {
            let value = escape(value);
            let _ = write!(text, "<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>");
        }
        text.push_str("</S3Key></Filter>");
    }
    let _ = write!(text, "</{outer}>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Reads a document; `own` is what the ids of own entries begin with. The error says what is wrong.
pub(super) fn read(text: &str, own: &str) -> Result<Seen, String> {
    if text.trim().is_empty() {
        return Ok(Seen::default());
    }
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "NotificationConfiguration" {
        return Err(format!("it is a {}, not a NotificationConfiguration", root.tag_name().name()));
    }
    let mut seen = Seen::default();
    for node in root.children().filter(Node::is_element) {
        let id = child(node, "Id").unwrap_or("");
        match id.strip_prefix(own) {
            Some(rule) => {
                let doubled = seen.own.contains_key(rule);
                seen.own.insert(rule.into(), entry(node).filter(|_| !doubled));
            }
            None => {
                seen.foreign.push(if id.is_empty() { node.tag_name().name() } else { id }.into());
                seen.kept.push(text.get(node.range()).unwrap_or_default().to_owned());
            }
        }
    }
    Ok(seen)
}

fn entry(node: Node) -> Option<Entry> {
    let arn = ["Queue", "Topic", "CloudFunction"].iter().find_map(|name| child(node, name))?;
    let texts = |name: &'static str| {
        node.children().filter(move |child| child.tag_name().name() == name).filter_map(|node| node.text())
    };
    let mut events: Vec<Arc<str>> = texts("Event").map(Into::into).collect();
    events.sort();
    let filter = |wanted: &str| -> Option<Arc<str>> {
        let mut rules = node.descendants().filter(|node| node.tag_name().name() == "FilterRule");
        let rule = rules.find(|rule| child(*rule, "Name").is_some_and(|n| n.eq_ignore_ascii_case(wanted)))?;
        child(rule, "Value").filter(|value| !value.is_empty()).map(Into::into)
    };
    Some(Entry { arn: arn.into(), events, prefix: filter("prefix"), suffix: filter("suffix") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "tidemill.default.uploads.";
    const FOREIGN: &str = "<QueueConfiguration>\n <Id>of another</Id><Queue>arn:minio:sqs::X:kafka</Queue><Event>s3:ObjectRemoved:*</Event><Extra a=\"1\"/></QueueConfiguration>";
    const NAMELESS: &str = "<EventBridgeConfiguration/>";

    fn wanted() -> Entry {
        Entry {
            arn: "arn:minio:sqs::W:webhook".into(),
            events: vec!["s3:ObjectCreated:*".into()],
            prefix: Some("in/<&>".into()),
            suffix: None,
        }
    }

    fn rules(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn merged(text: &str, names: &[&str]) -> String {
        read(text, OWN).unwrap().with(OWN, rules(names).into_iter(), &wanted())
    }

    #[test]
    fn entries_come_and_go_and_others_stay() {
        let old = format!("<NotificationConfiguration>{FOREIGN}{NAMELESS}</NotificationConfiguration>");
        let both = merged(&old, &["a", "b"]);
        let seen = read(&both, OWN).unwrap();
        assert_eq!(seen.foreign, rules(&["of another", "EventBridgeConfiguration"]));
        assert_eq!(seen.own.keys().cloned().collect::<Vec<_>>(), rules(&["a", "b"]));
        assert!(seen.agrees(rules(&["a", "b"]).into_iter(), &wanted()));
        assert!(!seen.agrees(rules(&["a"]).into_iter(), &wanted()));
        assert!(both.contains(FOREIGN) && both.contains(NAMELESS));
        let none = merged(&both, &[]);
        assert_eq!(read(&none, OWN).unwrap(), read(&old, OWN).unwrap());
        let shows =
            |text: &str, other: &str| read(text, OWN).unwrap().shows_all_of(&read(other, OWN).unwrap());
        assert!(shows(&both, &old) && shows(&both, &both) && shows(&old, &none) && shows(&old, ""));
        assert!(!shows(&old, &both) && !shows("", &old) && !shows("", &merged("", &["a"])));
    }

    #[test]
    fn drift_is_seen() {
        let text = merged("", &["a"]);
        let check = |from: &str, to: &str, right: bool| {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            assert_eq!(read(&changed, OWN).unwrap().is_right("a", &wanted()), right, "{to}");
        };
        check("sqs::W", "sqs:us-east-1:W", true);
        check("sqs::W", "sqs::V", false);
        check("Created", "Removed", false);
        check("in/", "out/", false);
        check("<Name>prefix", "<Name>Prefix", true);
        check("<Name>prefix", "<Name>suffix", false);
        check("uploads.a", "uploads.b", false);
        let entry =
            text.find("<Queue").map(|at| text[at..].replace("</NotificationConfiguration>", "")).unwrap();
        let twice =
            text.replace("</NotificationConfiguration>", &format!("{entry}</NotificationConfiguration>"));
        assert!(!read(&twice, OWN).unwrap().is_right("a", &wanted()));
    }

    #[test]
    fn an_entry_is_written_for_its_target() {
        let topic = Entry { arn: "arn:aws:sns:us-east-1::t".into(), prefix: None, ..wanted() };
        insta::assert_snapshot!(Seen::default().with(OWN, rules(&["a"]).into_iter(), &topic), @r#"<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TopicConfiguration><Id>tidemill.default.uploads.a</Id><Topic>arn:aws:sns:us-east-1::t</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>"#);
    }

    #[test]
    fn what_is_no_document() {
        assert!(read("<Error/>", OWN).unwrap_err().contains("not a NotificationConfiguration"));
        assert_eq!(read(" ", OWN), Ok(Seen::default()));
    }
}
