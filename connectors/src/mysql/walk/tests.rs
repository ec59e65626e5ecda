//! Walks over logs that no server has to write: positions, skips, and what must not be passed over.

use super::*;

const SERVER: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// An event without a body of its own that ends at a place.
fn raw(kind: u8, end: u32, body: &[u8]) -> Raw<'_> {
    Raw { kind, server: 7, time: 1, size: 10, end, flags: 0, body, tagged: None }
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend([1, 0, 0, 0, 0, b'd', 0]);
    body.extend(text.as_bytes());
    body
}

fn walk(position: &str) -> Walk {
    let mut position = Position::parse(position).unwrap();
    position.server = Some("u".into());
    Walk::new(position, vec!["b.000001".into(), "b.000002".into()])
}

fn at(walk: &Walk) -> String {
    let position = walk.position(None);
    format!("{}:{}", position.file, position.pos)
}

#[test]
fn positions_move_from_end_to_end() {
    let mut walk = walk("b.000001:100");
    let begin = query("BEGIN");
    walk.step(&raw(34, 110, &[])).unwrap();
    assert_eq!(walk.step(&raw(2, 120, &begin)), Ok(Step::None));
    assert_eq!(walk.step(&raw(19, 130, &[])), Ok(Step::Map));
    assert_eq!(walk.step(&raw(30, 140, &[])), Ok(Step::Rows { event: 0, first: 0 }));
    assert_eq!(walk.step(&raw(30, 150, &[])), Ok(Step::Rows { event: 1, first: 0 }));
    assert_eq!((at(&walk), &*walk.open().unwrap().id), ("b.000001:100".into(), "u/b.000001/100"));
    let within = walk.position(Some((1, 4))).within.unwrap();
    assert_eq!((&*within.transaction, within.event, within.row), ("u/b.000001/100", 1, 4));
    assert_eq!(walk.step(&raw(16, 160, &[])), Ok(Step::Ended));
    assert_eq!(at(&walk), "b.000001:160");
    walk.step(&raw(34, 170, &[])).unwrap();
    assert_eq!(walk.step(&raw(2, 180, &query("ALTER TABLE t ADD a INT"))), Ok(Step::Altered));
    assert_eq!(at(&walk), "b.000001:180");
    let mut rotate = 4_u64.to_le_bytes().to_vec();
    rotate.extend(b"b.000002");
    walk.step(&raw(4, 190, &rotate)).unwrap();
    assert_eq!(at(&walk), "b.000002:4");
}

#[test]
fn what_is_taken_is_skipped() {
    let mut walk = walk(r#"{"file":"b.000001","pos":100,"in":"u/b.000001/100","event":1,"row":4}"#);
    walk.step(&raw(34, 110, &[])).unwrap();
    assert_eq!(walk.step(&raw(30, 120, &[])), Ok(Step::None));
    // Before anything is taken the position is as it was.
    assert_eq!(walk.position(None).within.unwrap().row, 4);
    assert_eq!(walk.step(&raw(30, 130, &[])), Ok(Step::Rows { event: 1, first: 4 }));
    assert_eq!(walk.step(&raw(30, 140, &[])), Ok(Step::Rows { event: 2, first: 0 }));
    walk.step(&raw(16, 150, &[])).unwrap();
    assert_eq!(walk.position(None).within, None);
}

#[test]
fn sets_grow_from_what_is_known() {
    let mut body = vec![0];
    body.extend([
        0x3e, 0x11, 0xfa, 0x47, 0x71, 0xca, 0x11, 0xe1, 0x9e, 0x33, 0xc8, 0x0a, 0xa9, 0x42, 0x95, 0x62,
    ]);
    body.extend(6_u64.to_le_bytes());
    let gtids = |walk: &Walk| walk.position(None).gtids.map(|set| set.to_string());
    let take = |walk: &mut Walk| {
        walk.step(&raw(33, 110, &body)).unwrap();
        assert_eq!(&*walk.open().unwrap().id, format!("{SERVER}:6"));
        walk.step(&raw(16, 150, &[])).unwrap();
    };
    let mut known = walk(&format!("{SERVER}:1-5"));
    take(&mut known);
    assert_eq!(gtids(&known), Some(format!("{SERVER}:1-6")));
    let mut unknown = walk("b.000001:100");
    take(&mut unknown);
    assert_eq!(gtids(&unknown), None);
    // A file says what is in those before it.
    let mut previous = 1_u64.to_le_bytes().to_vec();
    previous.extend(&body[1..17]);
    for number in [1_u64, 1, 7] {
        previous.extend(number.to_le_bytes());
    }
    unknown.step(&raw(35, 160, &previous)).unwrap();
    assert_eq!(gtids(&unknown), Some(format!("{SERVER}:1-6")));

    let mut mariadb = walk("0-7-5,3-1-1");
    let mut body = 6_u64.to_le_bytes().to_vec();
    body.extend([0, 0, 0, 0, 1]);
    mariadb.step(&raw(162, 110, &body)).unwrap();
    assert_eq!(mariadb.step(&raw(2, 120, &query("DROP TABLE t"))), Ok(Step::Altered));
    assert_eq!(gtids(&mariadb).as_deref(), Some("0-7-6,3-1-1"));
    let mut list = 1_u32.to_le_bytes().to_vec();
    list.extend([2, 0, 0, 0, 9, 0, 0, 0]);
    list.extend(8_u64.to_le_bytes());
    let mut fresh = walk("b.000001:4");
    fresh.step(&raw(163, 110, &list)).unwrap();
    assert_eq!(gtids(&fresh).as_deref(), Some("2-9-8"));
}

#[test]
fn a_checksum_is_no_part_of_a_name() {
    let check = |name: &[u8], expected: &str| {
        let mut walk = walk("0-1-1");
        let mut body = 4_u64.to_le_bytes().to_vec();
        body.extend(name);
        walk.step(&raw(4, 0, &body)).unwrap();
        assert_eq!(at(&walk), expected);
    };
    check(b"b.000002\xff\x00\x01\x02", "b.000002:4");
    check(b"b.0000021234", "b.000002:4");
    check(b"b.000002", "b.000002:4");
    check(b"b.000003", "b.000003:4");
}

#[test]
fn places_beyond_four_gigabytes() {
    let mut walk = walk(&format!("b.000001:{}", u32::MAX - 10));
    walk.step(&raw(34, u32::MAX - 5, &[])).unwrap();
    walk.step(&raw(16, 20, &[])).unwrap();
    assert_eq!(at(&walk), format!("b.000001:{}", (1_u64 << 32) + 20));
}

#[test]
fn a_compressed_transaction_ends_where_its_event_ends() {
    let mut walk = walk("b.000001:100");
    walk.step(&raw(34, 110, &[])).unwrap();
    walk.step(&raw(40, 200, &[])).unwrap();
    // Within it places mean nothing.
    walk.step(&raw(2, 7, &query("BEGIN"))).unwrap();
    assert_eq!(walk.step(&raw(30, 9, &[])), Ok(Step::Rows { event: 0, first: 0 }));
    walk.step(&raw(16, 11, &[])).unwrap();
    assert_eq!(at(&walk), "b.000001:200");
    // One that was not read to its end must not be passed over.
    walk.step(&raw(34, 210, &[])).unwrap();
    walk.step(&raw(40, 300, &[])).unwrap();
    assert!(walk.step(&raw(34, 310, &[])).is_err());
}

#[test]
fn what_is_not_known_stops() {
    let check = |kind: u8, flags: u16, stops: bool| {
        let found = walk("b.000001:100").step(&Raw { flags, ..raw(kind, 110, &[]) });
        assert_eq!(found.is_err(), stops, "{kind}");
    };
    check(160, 0, false);
    check(200, 0x80, false);
    check(200, 0, true);
    // Rows outside of a transaction.
    check(30, 0, true);
    let lost = walk("b.000001:100").step(&raw(2, 110, &query("update t set a = 1"))).unwrap();
    assert!(matches!(lost, Step::Lost(_)));
    assert_eq!(walk("b.000001:100").step(&raw(27, 100, &[])), Ok(Step::Heartbeat));
}
