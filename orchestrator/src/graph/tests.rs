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

/// Boxes lie on the sheet and do not cross one another but by nesting.
#[test]
fn svg() {
    let svg = painted().draw(Form::Svg);
    let numbers = |line: &str| -> Vec<f64> {
        ["x=", "y=", "width=", "height="]
            .iter()
            .filter_map(|name| line.split(&format!(" {name}\"")).nth(1)?.split('"').next()?.parse().ok())
            .collect()
    };
    let boxes: Vec<Vec<f64>> = svg.lines().filter(|line| line.starts_with("<g>")).map(numbers).collect();
    assert_eq!(boxes.len(), 9);
    let size: Vec<f64> = svg
        .split("viewBox=\"0 0 ")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .split(' ')
        .map(|n| n.parse().unwrap())
        .collect();
    for own in &boxes {
        assert!(
            own[0] >= 0.0 && own[0] + own[2] <= size[0] && own[1] + own[3] <= size[1],
            "{own:?} of {size:?}"
        );
        for other in &boxes {
            let apart = own[0] + own[2] <= other[0]
                || other[0] + other[2] <= own[0]
                || own[1] + own[3] <= other[1]
                || other[1] + other[3] <= own[1];
            let within = |a: &[f64], b: &[f64]| {
                a[0] >= b[0]
                    && a[1] >= b[1]
                    && a[0] + a[2] <= b[0] + b[2] + 0.2
                    && a[1] + a[3] <= b[1] + b[3] + 0.2
            };
            assert!(own == other || apart || within(own, other) || within(other, own), "{own:?} {other:?}");
        }
    }
    assert_eq!(svg.matches("marker-end").count(), 7);
    let odd = BODY.replace("charge: {", "'<b>&\"': {");
    let drawn = Picture::of(&tidemill_dsl::workflow::check(&odd).program.expect("odd names are names"))
        .draw(Form::Svg);
    assert!(drawn.contains("&lt;b&gt;&amp;&quot;") && !drawn.contains("<b>"), "{drawn}");
}
