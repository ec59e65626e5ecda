//! Stores as files: what earlier formats become.

use std::path::Path;

use serde_json::Value;

use crate::{folder, run};

#[test]
fn stores_of_every_earlier_format_are_migrated() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration-tests/fixtures");
    let mut formats = Vec::new();
    for fixture in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        let dir = folder(&[]);
        let store = dir.path().join("tidemill.db");
        std::fs::copy(fixture.join("tidemill.db"), &store).unwrap();
        let migrate = |more: &[&str]| {
            let words = [&["store", "migrate", "--data-dir", ".", "-o", "json"], more].concat();
            let (code, out, err) = run(dir.path(), &words);
            (code, serde_json::from_str::<Value>(&out).unwrap(), err)
        };
        let (code, told, err) = migrate(&["--check"]);
        let (format, known) = (told["format"].as_u64().unwrap(), told["known"].as_u64().unwrap());
        assert!(fixture.ends_with(format!("store-v{format}")), "{}: {told}", fixture.display());
        formats.push(format);
        if format < known {
            assert!(code == 9 && err.contains("it needs a migration"), "{code} {err}");
            let (code, _, err) = migrate(&[]);
            assert_eq!((code, err.trim_end()), (0, &*format!("migrated from format {format} to {known}")));
        }
        let (code, told, err) = migrate(&[]);
        assert_eq!((code, &told["format"], err.trim_end()), (0, &known.into(), "nothing to do"));
        // What was migrated is whole, and a backup of it too.
        let (code, _, err) = run(dir.path(), &["backup", "create", "copy", "--data-dir", "."]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(run(dir.path(), &["backup", "verify", "copy"]).0, 0);
        // The format stands at byte 60 of the file; one from the future is left alone.
        let mut bytes = std::fs::read(&store).unwrap();
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        std::fs::write(&store, &bytes).unwrap();
        let (code, _, err) = migrate(&[]);
        assert!(code == 1 && err.contains("a later one"), "{code} {err}");
        assert_eq!(std::fs::read(&store).unwrap(), bytes);
    }
    formats.sort_unstable();
    assert!(formats.len() >= 3 && formats[0] == 1, "{formats:?}");
}
