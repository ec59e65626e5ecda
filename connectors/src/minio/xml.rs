//! The XML of S3: refusals and pages of versions.
//!
//! Pure. Reads what is needed here and nothing else; the notification document has a file of its own.

use roxmltree::{Document, Node};
use tidemill_dsl::ids::Time;

use crate::http::decode;

/// The text of a child element.
pub(super) fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.tag_name().name() == name).map(|child| child.text().unwrap_or(""))
}

/// Code and message of an `Error`.
pub(super) fn refusal(text: &str) -> Option<(String, String)> {
    let document = Document::parse(text).ok()?;
    let root = document.root_element();
    Some((child(root, "Code")?.to_owned(), child(root, "Message").unwrap_or("").to_owned()))
}

/// A version of an object, or a delete marker, as a listing tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: String,
    /// None where the bucket has no versions.
    pub(super) id: Option<String>,
    pub(super) modified: Time,
    /// Without quotation marks; none for a delete marker.
    pub(super) etag: Option<String>,
    pub(super) size: u64,
}

/// A page of `ListObjectVersions` with `encoding-type=url`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) versions: Vec<Version>,
    /// Key and version markers of the next page, if there is one.
    pub(super) next: Option<(String, String)>,
}

/// Reads a page. The error says what is wrong.
pub(super) fn page(text: &str) -> Result<Page, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "ListVersionsResult" {
        return Err(format!("it is a {}, not a ListVersionsResult", root.tag_name().name()));
    }
    let entries = root.children().filter(|node| matches!(node.tag_name().name(), "Version" | "DeleteMarker"));
    let versions: Option<Vec<_>> = entries.map(version).collect();
    let next = (child(root, "IsTruncated") == Some("true")).then(|| {
        let key = child(root, "NextKeyMarker").unwrap_or("");
        (decode(key), child(root, "NextVersionIdMarker").unwrap_or("").to_owned())
    });
    Ok(Page { versions: versions.ok_or("a version lacks its key or time")?, next })
}

fn version(node: Node) -> Option<Version> {
    let is_marker = node.tag_name().name() == "DeleteMarker";
    let id = child(node, "VersionId").filter(|id| !id.is_empty() && *id != "null");
    let etag = child(node, "ETag").map(|etag| etag.trim_matches('"').to_owned());
    Some(Version {
        key: decode(child(node, "Key")?),
        id: id.map(str::to_owned),
        modified: Time::parse(child(node, "LastModified")?)?,
        etag: etag.filter(|_| !is_marker),
        size: child(node, "Size").and_then(|size| size.parse().ok()).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>true</IsTruncated>
<NextKeyMarker>dir/a+b</NextKeyMarker><NextVersionIdMarker>v2</NextVersionIdMarker><EncodingType>url</EncodingType>
<Version><Key>dir/a+b%2Bc%C3%A9</Key><LastModified>2026-11-24T02:40:32.238Z</LastModified><ETag>"5d41"</ETag><Size>5</Size><VersionId>null</VersionId></Version>
<DeleteMarker><Key>d</Key><LastModified>2026-11-24T02:40:33Z</LastModified><VersionId>v1</VersionId></DeleteMarker></ListVersionsResult>"#;
        let page = page(text).unwrap();
        assert_eq!(page.next, Some(("dir/a b".to_owned(), "v2".to_owned())));
        let shown: Vec<_> =
            page.versions.iter().map(|v| (&*v.key, v.id.as_deref(), v.etag.as_deref())).collect();
        assert_eq!(shown, [("dir/a b+cé", None, Some("5d41")), ("d", Some("v1"), None)]);
        assert_eq!(page.versions[0].modified, Time::parse("2026-11-24T02:40:32.238Z").unwrap());
    }

    #[test]
    fn what_is_no_page() {
        let check = |text: &str, expected: &str| assert_eq!(page(text).unwrap_err(), expected);
        check("<Error><Code>NoSuchBucket</Code></Error>", "it is a Error, not a ListVersionsResult");
        check(
            "<ListVersionsResult><Version><Key>a</Key></Version></ListVersionsResult>",
            "a version lacks its key or time",
        );
        assert!(page("no xml").is_err());
    }

    #[test]
    fn refusals() {
        let text = "<Error><Code>NoSuchBucket</Code><Message>There is none</Message></Error>";
        assert_eq!(refusal(text), Some(("NoSuchBucket".to_owned(), "There is none".to_owned())));
        assert_eq!(refusal(""), None);
    }
}
