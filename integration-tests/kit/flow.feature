Feature: Flow
  Which task comes next: order, then, switch, jumps, exit and end.

  Scenario: Tasks run in the order of declaration
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {seen: '${ (.seen // []) + ["a"] }'}}
      - b: {set: {seen: '${ .seen + ["b"] }'}}
      - c: {set: {seen: '${ .seen + ["c"] }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: [a, b, c]
    """
    And a should run first
    And b should run after a
    And b should run before c
    And c should run last
    And the history should be:
    """
    workflow started, a started, a completed, b started, b completed, c started, c completed, workflow completed
    """

  Scenario Outline: A switch takes the first case that holds, and a default counts as the last
    Given a workflow with definition:
    """yaml
    do:
      - s:
          switch:
            - otherwise: {then: none}
            - many: {when: .n > 10, then: many}
            - some: {when: '${ .n > 1 }', then: some}
      - many: {set: {r: many}, then: end}
      - some: {set: {r: some}, then: end}
      - none: {set: {r: none}}
    """
    And the workflow input is:
    """yaml
    n: <n>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    r: <r>
    """
    And the history should be:
    """
    workflow started, s started, s completed, <r> started, <r> completed, workflow completed
    """
    Examples:
      | n  | r    |
      | 11 | many |
      | 10 | some |
      | 1  | none |

  Scenario: Conditions behind the case that holds are not evaluated
    Given a workflow with definition:
    """yaml
    do:
      - s:
          switch:
            - first: {when: .n == 1, then: z}
            - broken: {when: .n.m.o, then: end}
      - z: {set: {ok: true}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ok: true
    """

  Scenario: A switch whose cases do not hold follows its own then
    Given a workflow with definition:
    """yaml
    do:
      - s:
          switch: [{big: {when: .n > 10, then: a}}]
          then: b
      - a: {set: {r: a}}
      - b: {set: {r: '${ .n }'}}
    """
    And the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    r: 1
    """
    And a should not run

  Scenario: A switch gives its transformed input
    Given a workflow with definition:
    """yaml
    do:
      - s:
          input: {from: .part}
          switch: [{go: {when: .x, then: continue}}]
      - z: {set: {got: '${ . }'}}
    """
    And the workflow input is:
    """yaml
    part: {x: true}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: {x: true}
    """

  Scenario Outline: Conditions hold unless the value is null or false
    Given a workflow with definition:
    """yaml
    do:
      - a: {if: .v, set: {ran: true}}
    """
    And the workflow input is:
    """yaml
    v: <v>
    """
    When the workflow is executed
    Then the workflow should complete
    And a should run <times> times
    Examples:
      | v     | times |
      | true  | 1     |
      | 0     | 1     |
      | ''    | 1     |
      | []    | 1     |
      | null  | 0     |
      | false | 0     |

  Scenario: A skipped task passes its raw input on, and its then is ignored
    Given a workflow with definition:
    """yaml
    do:
      - a: {if: .go, input: {from: .x}, set: {no: 1}, output: {as: .never}, export: {as: '{never: 1}'}, then: end}
      - b: {set: {got: '${ . }', context: '${ $context }'}}
    """
    And the workflow input is:
    """yaml
    x: 5
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: {x: 5}
    context: {}
    """
    And a should not run
    And the history should be:
    """
    workflow started, b started, b completed, workflow completed
    """

  Scenario Outline: Directives of a task in an inner list
    Given a workflow with definition:
    """yaml
    do:
      - o:
          do:
            - a: {set: {r: a}, then: <then>}
            - b: {set: {r: '${ .r + "b" }'}}
      - z: {set: {r: '${ .r + "z" }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    r: <r>
    """
    And the history should be:
    """
    <history>
    """
    Examples:
      | then     | r   | history |
      | continue | abz | workflow started, o started, a started, a completed, b started, b completed, o completed, z started, z completed, workflow completed |
      | exit     | az  | workflow started, o started, a started, a completed, o completed, z started, z completed, workflow completed |
      | end      | a   | workflow started, o started, a started, a completed, o cancelled, workflow completed |

  Scenario: Exit completes its list, and the task around goes on with its own output, export and then
    Given a workflow with definition:
    """yaml
    do:
      - o:
          do:
            - a: {set: {v: 1}, then: exit}
            - never: {set: {v: 2}}
          output: {as: '{w: .v}'}
          export: {as: '{seen: .w}'}
          then: z
      - never: {set: {v: 3}}
      - z: {set: {got: '${ . }', context: '${ $context }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: {w: 1}
    context: {seen: 1}
    """

  Scenario: End gives the output of its task to output.as of the workflow
    Given a workflow with definition:
    """yaml
    do:
      - o:
          do: [{a: {set: {r: 1}, output: {as: .r}, then: end}}]
          output: {as: '{never: true}'}
    output: {as: '{last: .}'}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    last: 1
    """

  Scenario: A jump back is a loop
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {n: '${ .n + 1 }'}}
      - s: {switch: [{more: {when: .n < 3, then: a}}]}
    """
    And the workflow input is:
    """yaml
    n: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 3
    """
    And a should run 3 times

  Scenario: A jump forward leaves out what is between
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {v: 1}, then: c}
      - b: {set: {v: 2}}
      - c: {set: {v: '${ .v }'}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    v: 1
    """
    And the definition should be warned of 'W0551'

  Scenario Outline: What then cannot name is refused at the line of its name
    Given a workflow with definition:
    """yaml
    do:
      - o:
          do: [{a: {set: {v: 1}}}]
      - b:
          set: {v: 1}
          then: <then>
    """
    Then the definition should be refused with 'E0504' at line 6
    Examples:
      | then  |
      | a     |
      | nobody |

  Scenario Outline: Mistakes of shape are refused in their line
    Given a workflow with definition:
    """yaml
    do:
      - a:
          <body>
    """
    Then the definition should be refused with '<code>'
    Examples:
      | body | code |
      | {sat: {x: 1}} | E0201 |
      | {set: {x: 1}, wait: PT1S} | E0502 |
      | {metadata: {x: 1}} | E0501 |
      | {switch: [{x: {then: end}}, {y: {then: exit}}]} | E0505 |
      | {switch: []} | E0206 |
      | {set: {}} | E0206 |
      | {wait: P1Y} | E0701 |
      | {wait: P1M} | E0701 |
      | {raise: {error: nobody}} | E0601 |
      | {call: nobody} | E0601 |
      | {set: {x: '${ $nobody }'}} | E0402 |
      | {set: {x: '${ nobody(1) }'}} | E0401 |
      | {set: {x: '${ .a + }'}} | E0401 |
      | {set: {x: '${ $secrets.key }'}} | E0403 |

  Scenario Outline: Mistakes of text are refused
    Given a workflow with definition:
    """yaml
    <text>
    """
    Then the definition should be refused with '<code>'
    Examples:
      | text | code |
      | do: [{a: {set: {x: 1}}}, {a: {set: {x: 2}}}] | E0503 |
      | do: [{exit: {set: {x: 1}}}] | E0507 |
      | do: [{a: {set: {x: 1, x: 2}}}] | E0102 |
      | do: [{a: {set: {x: 1}}, b: {set: {x: 1}}}] | E0207 |
      | do: [] | E0206 |
      | todo: [{a: {set: {x: 1}}}] | E0201 |
      | do: [{a: {set: {x: 1}} | E0101 |
      | do: [{a: {call: http}}] | E0202 |
      | do: [{a: {set: {x: 1}, timeout: nobody}}] | E0601 |
      | do: [{a: {try: [{b: {set: {x: 1}}}], catch: {retry: nobody}}}] | E0601 |
      | do: [{a: {try: [{b: {set: {x: 1}}}], catch: {then: b}}}] | E0504 |
      | do: [{a: {call: http, with: {method: get, endpoint: {uri: 'http://h', authentication: {use: nobody}}}}}] | E0601 |
      | do: [{a: {call: 'f:1@nobody'}}] | E0602 |
      | do: [{a: {set: {x: '${ $output }'}}}] | E0402 |
      | do: [{a: {set: {x: 1}, output: {as: $output}}}] | E0402 |
      | do: [{a: {set: {x: 1}, if: $input}}] | E0402 |

  Scenario Outline: The workflow's own transforms have fewer variables than a task
    Given a workflow with definition:
    """yaml
    <part>
    do: [{a: {set: {x: 1}}}]
    """
    Then the definition should be refused with 'E0402' at line 1
    Examples:
      | part |
      | input: {from: $context} |
      | input: {from: $task} |
      | output: {as: $input} |
      | output: {as: $output} |

  Scenario: Metadata and document are never evaluated
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: plain, version: '1.0.0', title: '${ 1 }', metadata: {x: '${ .a + }'}}
    do:
      - a:
          metadata: {note: '${ nobody }'}
          set: {title: '${ $workflow.definition.document.title }', note: '${ $task.metadata.note }'}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {title: '${ 1 }', note: '${ nobody }'}
    """

  Scenario: Task names are unique within their list only
    Given a workflow with definition:
    """yaml
    do:
      - a: {do: [{a: {set: {n: 1}}}]}
      - b: {do: [{a: {set: {n: '${ .n + 1 }'}}}]}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 2
    """

  Scenario: YAML is read by the 1.2 core schema
    Given a workflow with definition:
    """yaml
    do:
      - a: {set: {yes: yes, no: no, on: on, off: off, octal: 010, float: 1e3, word: 'true', truth: true}}
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    {"yes": "yes", "no": "no", "on": "on", "off": "off", "octal": 10, "float": 1000, "word": "true", "truth": true}
    """
