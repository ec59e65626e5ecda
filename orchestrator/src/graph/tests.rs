//! Pictures of one workflow in every form.

use super::*;

const BODY: &str = r"
document: {dsl: '1.0.3', namespace: default, name: order, version: '1.0.0'}
do:
  - check:
      switch:
        - cheap: {when: '${ .total < 10 }', then: pack}
        - free: {when: '${ .total == 0 }', then: end}
        - other: {then: pay}
  - pay:
      try: [{charge: {call: 'charge:1@default'}}]
      catch: {do: [{refund: {set: {a: 1}}}]}
  - both:
      fork: {branches: [{left: {wait: PT1S}}, {right: {wait: PT2S}}]}
  - pack:
      for: {in: '${ .items }'}
      do: [{one: {set: {a: '${ $item }'}}}]
";

fn picture() -> Picture {
    let checked = tidemill_dsl::workflow::check(BODY);
    Picture::of(&checked.program.expect("the definition is right"))
}

fn painted() -> Picture {
    let mark = |state, runs| Mark { state, runs };
    let marks = [
        ("/do/0/check", mark("completed", 1)),
        ("/do/1/pay", mark("completed", 1)),
        ("/do/1/pay/try/0/charge", mark("faulted", 3)),
        ("/do/2/both", mark("running", 1)),
        ("/do/2/both/fork/branches/0/left", mark("waiting", 1)),
    ];
    picture().painted(&marks.into_iter().map(|(name, mark)| (name.into(), mark)).collect())
}

#[test]
fn ascii() {
    insta::assert_snapshot!(picture().draw(Form::Ascii), @r"
order 1.0.0
|- check (switch)  cheap -> pack  other -> pay  free -> end
|- pay (try)
|  `- charge (call)
|  catch:
|    `- refund (set)
|- both (fork)
|  |- left (wait)
|  `- right (wait)
`- pack (for)
   each:
     `- one (set)
");
    insta::assert_snapshot!(painted().draw(Form::Ascii), @r"
order 1.0.0
|- [x] check (switch)  cheap -> pack  other -> pay  free -> end
|- [x] pay (try)
|  `- [!] charge (call) 3x
|  catch:
|    `- [ ] refund (set)
|- [>] both (fork)
|  |- [~] left (wait)
|  `- [ ] right (wait)
`- [ ] pack (for)
   each:
     `- [ ] one (set)
");
}

#[test]
fn mermaid() {
    insta::assert_snapshot!(painted().draw(Form::Mermaid), @r#"
---
title: order 1.0.0
---
flowchart TD
  start((start))
  t0{"check (switch)"}
  subgraph t1["pay (try)"]
    t4["charge (call) 3x"]
    subgraph g5["catch"]
    t5["refund (set)"]
    end
  end
  subgraph t2["both (fork)"]
    t6["left (wait)"]
    t7["right (wait)"]
  end
  subgraph t3["pack (for)"]
    subgraph g8["each"]
    t8["one (set)"]
    end
  end
  finish((end))
  start --> t0
  t0 -->|"cheap"| t3
  t0 -->|"other"| t1
  t1 --> t2
  t2 --> t3
  t0 -->|"free"| finish
  t3 --> finish
  classDef completed fill:#d9f2e0,stroke:#2e7d4f
  class t0,t1 completed
  classDef faulted fill:#fbdcdc,stroke:#b3261e
  class t4 faulted
  classDef running fill:#dbe9fb,stroke:#1f5fae
  class t2 running
  classDef waiting fill:#fdf0cc,stroke:#9a6b00
  class t6 waiting
  classDef cancelled fill:#e4e4e7,stroke:#5f5f66
"#);
}

#[test]
fn dot() {
    insta::assert_snapshot!(painted().draw(Form::Dot), @r##"
digraph "order 1.0.0" {
  rankdir=TB;
  node [shape=box, style="rounded,filled", fontname="sans-serif"];
  start [shape=circle, label="", width=0.2];
  finish [shape=doublecircle, label="", width=0.15];
  t0 [label="check\nswitch", fillcolor="#d9f2e0", color="#2e7d4f", shape=diamond];
  subgraph cluster_1 {
    color="#2e7d4f";
    t1 [label="pay\ntry", fillcolor="#d9f2e0", color="#2e7d4f"];
    t4 [label="charge\ncall 3x", fillcolor="#fbdcdc", color="#b3261e"];
    t1 -> t4 [style=dashed, label=""];
    t5 [label="refund\nset", fillcolor="#ffffff", color="#b9b9c0"];
    t1 -> t5 [style=dashed, label="catch"];
  }
  subgraph cluster_2 {
    color="#1f5fae";
    t2 [label="both\nfork", fillcolor="#dbe9fb", color="#1f5fae"];
    t6 [label="left\nwait", fillcolor="#fdf0cc", color="#9a6b00"];
    t7 [label="right\nwait", fillcolor="#ffffff", color="#b9b9c0"];
    t2 -> t6 [style=dashed, label=""];
    t2 -> t7 [style=dashed, label=""];
  }
  subgraph cluster_3 {
    color="#b9b9c0";
    t3 [label="pack\nfor", fillcolor="#ffffff", color="#b9b9c0"];
    t8 [label="one\nset", fillcolor="#ffffff", color="#b9b9c0"];
    t3 -> t8 [style=dashed, label="each"];
  }
  start -> t0;
  t0 -> t3 [label="cheap"];
  t0 -> t1 [label="other"];
  t1 -> t2 [label=""];
  t2 -> t3 [label=""];
  t0 -> finish [label="free"];
  t3 -> finish [label=""];
}
"##);
}

/// A rectangle: left, top, right, bottom.
type Area = [f64; 4];

fn number(node: roxmltree::Node, name: &str) -> f64 {
    node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}: {node:?}"))
}

fn apart(a: Area, b: Area) -> bool {
    a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1]
}

fn within(a: Area, b: Area) -> bool {
    a[0] >= b[0] && a[1] >= b[1] && a[2] <= b[2] + 0.2 && a[3] <= b[3] + 0.2
}

fn area(node: roxmltree::Node) -> Area {
    let (x, y) = (number(node, "x"), number(node, "y"));
    [x, y, x + number(node, "width"), y + number(node, "height")]
}

/// The room of a text in a monospaced font, whose characters are 0.602 em wide; wide ones take one em.
fn written(node: roxmltree::Node) -> Area {
    let size = node.attribute("font-size").map_or(12.0, |size| size.parse::<f64>().unwrap());
    let text = node.text().unwrap_or_default();
    let width: f64 = text.chars().map(|c| size * if c.is_ascii() { 0.602 } else { 1.0 }).sum();
    let (x, y) = (number(node, "x"), number(node, "y"));
    let left = if node.attribute("text-anchor").is_some() { x - width / 2.0 } else { x };
    [left, y - size * 0.75, left + width, y + size * 0.1]
}

/// The image is XML; boxes nest or lie apart; names stand in their boxes, labels on nothing else; all on the sheet.
fn check_svg(body: &str, boxes: usize, arrows: usize) -> String {
    let checked = tidemill_dsl::workflow::check(body);
    let picture = Picture::of(&checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)));
    let svg = picture.draw(Form::Svg);
    let document = roxmltree::Document::parse(&svg).unwrap_or_else(|why| panic!("{why}\n{svg}"));
    let root = document.root_element();
    let sheet = [0.0, 0.0, number(root, "width"), number(root, "height")];
    let tasks: Vec<_> = root.children().filter(|node| node.has_tag_name("g")).collect();
    let of = |node: &roxmltree::Node, tag: &str| -> Vec<Area> {
        let found = node.children().filter(|child| child.has_tag_name(tag));
        found.map(if tag == "rect" { area } else { written }).collect()
    };
    let places: Vec<Area> = tasks.iter().map(|task| of(task, "rect")[0]).collect();
    assert_eq!((places.len(), svg.matches("marker-end").count()), (boxes, arrows), "{svg}");
    for (task, own) in tasks.iter().zip(&places) {
        assert!(within(*own, sheet), "{own:?} of {sheet:?}");
        assert!(of(task, "text").iter().all(|text| within(*text, *own)), "{task:?}\n{svg}");
        for other in places.iter().filter(|other| !std::ptr::eq(*other, own)) {
            assert!(apart(*own, *other) || within(*own, *other) || within(*other, *own), "{own:?} {other:?}");
        }
    }
    let labels = of(&root, "text");
    let names: Vec<Area> = tasks.iter().flat_map(|task| of(task, "text")).collect();
    for (at, label) in labels.iter().enumerate() {
        let others = labels[at + 1..].iter().chain(&names);
        assert!(within(*label, sheet), "{label:?} of {sheet:?}\n{svg}");
        others.for_each(|other| assert!(apart(*label, *other), "{label:?} {other:?}\n{svg}"));
    }
    svg
}

#[test]
fn svg() {
    check_svg(BODY, 9, 7);
    check_svg(WIDE, 9, 11);
    let drawn = check_svg(&BODY.replace("charge: {", "'<b>&\"': {"), 9, 7);
    assert!(drawn.contains("&lt;b&gt;&amp;&quot;") && !drawn.contains("<b>"), "{drawn}");
}

/// Long names, many cases, jumps in both directions, ends within lists, wide characters, a long title.
const WIDE: &str = r"
document: {dsl: '1.0.3', namespace: default, name: a-name-that-is-much-longer-than-its-tasks-are-wide, version: '1.0.0-a.12'}
do:
  - check:
      switch:
        - a-very-long-name-of-a-case-that-is-cheap: {when: .a, then: pack}
        - free: {when: .b, then: end}
        - again: {when: .c, then: check}
        - void: {when: .d, then: end}
        - the-name-of-a-case-that-leads-straight-down: {then: both}
  - both:
      fork:
        branches:
          - left: {do: [{x: {set: {a: 1}, then: end}}, {y: {set: {a: 1}}}]}
          - right: {wait: PT1S}
      then: check
  - 支付处理任务名称很长很长: {set: {a: 1}}
  - pack: {try: [{one: {set: {a: 1}}}], catch: {then: both}}
";
